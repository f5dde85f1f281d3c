"""Sympa from Debian's packages: mailing lists behind a SOAP service of the rpc/encoded age.

It changes the packaged configuration below /etc: for a throwaway machine, as root.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
from pathlib import Path

from examples.peers.installing import PeerError, run
from examples.peers.processes import HOST, Server, http_answers

DOMAIN = "lists.example.org"
WSDL = Path("/usr/share/sympa/default/sympa.wsdl")
SERVICE = "/usr/lib/cgi-bin/sympa/sympa_soap_server.fcgi"
_LIST = """<?xml version="1.0" ?>
<list><listname>news</listname><type>discussion_list</type><subject>News</subject><description>News</description>
<status>open</status><topic>other</topic><owner multiple="1"><email>owner@example.org</email></owner></list>
"""


class Sympa(Server):
    """Sympa's SOAP service behind lighttpd, with one list, news, that nobody is subscribed to."""

    name = "sympa"
    user = "sympa"
    list_name = "news"
    listmaster = f"listmaster@{DOMAIN}"
    user_name = "hub"
    password = "sympa-secret-1"

    def __init__(self, workdir: Path | str | None = None, *, port: int | None = None) -> None:
        super().__init__(workdir, port=port)
        # the user sympa may not enter the folders of others
        self._folder = Path(tempfile.mkdtemp(prefix="concord-sympa-", dir="/tmp"))

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    def close(self) -> None:
        super().close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _prepare(self) -> list[str]:
        _configure(self.user_name, self.password)
        text = re.sub(r"\[%[^%]*%\]", f"{self.url}/sympasoap", WSDL.read_text())
        (self._folder / "sympa.wsdl").write_text(text)
        config = self._folder / "lighttpd.conf"
        config.write_text(
            f'server.port = {self.port}\nserver.bind = "{HOST}"\n'
            f'server.document-root = "{self._folder}"\nserver.modules = ("mod_fastcgi")\n'
            'mimetype.assign = (".wsdl" => "text/xml")\n'
            f'fastcgi.server = ("/sympasoap" => (("bin-path" => "{SERVICE}",\n'
            f'  "socket" => "{self._folder}/soap.sock", "check-local" => "disable", "max-procs" => 1)))\n'
        )
        for path in (self._folder, *self._folder.iterdir()):
            shutil.chown(path, "sympa", "sympa")
        return ["/usr/sbin/lighttpd", "-D", "-f", str(config)]

    def _answers(self) -> bool:
        return http_answers(f"{self.url}/sympa.wsdl")


def _configure(application: str, password: str) -> None:
    """The domain, the list, and an application that may act for its list master. What is there already stays."""
    if os.geteuid() != 0 or not WSDL.exists():
        raise PeerError("Sympa is not installed here: run `make test-debian` as root.")
    config = Path("/etc/sympa/sympa/sympa.conf")
    text = re.sub(r"(?m)^(domain|listmaster|sendmail_aliases)\b.*\n", "", config.read_text())
    text += f"domain\t{DOMAIN}\nlistmaster\tlistmaster@{DOMAIN}\nsendmail_aliases\tnone\n"
    config.write_text(text)
    trusted = Path("/etc/sympa/trusted_applications.conf")
    digest = hashlib.md5(password.encode(), usedforsecurity=False).hexdigest()
    trusted.write_text(
        f"trusted_application\nname {application}\nmd5password {digest}\n"
        "proxy_for_variables USER_EMAIL,remote_host\n"
    )
    shutil.chown(trusted, "sympa", "sympa")
    lists = [Path("/var/lib/sympa/list_data/news"), Path(f"/var/lib/sympa/list_data/{DOMAIN}/news")]
    if not any(path.exists() for path in lists):
        with tempfile.NamedTemporaryFile("w", suffix=".xml") as file:
            file.write(_LIST)
            file.flush()
            Path(file.name).chmod(0o644)
            create = ["--create_list", f"--input_file={file.name}", f"--robot={DOMAIN}"]
            run(["runuser", "-u", "sympa", "--", "/usr/lib/sympa/bin/sympa.pl", *create])
