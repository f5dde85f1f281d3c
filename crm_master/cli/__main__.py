"""``python -m crm_master.cli``, where the script is not installed."""

from crm_master.cli import app

if __name__ == "__main__":
    app()
