"""DAGs generated from ``hub.yaml``, and what Airflow needs to know of Concord."""
