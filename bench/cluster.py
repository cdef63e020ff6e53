"""A private PostgreSQL with Onyx, and sessions on it."""

import atexit
import os
import pwd
import re
import shutil
import subprocess
import threading

from report import die

HOME = os.environ["ONYX_HOME"]
BIN = os.path.dirname(os.environ["ONYX_PG_CONFIG"])
# All below one short path: a socket's has 107 bytes.
CLUSTERS = os.path.join(HOME, "bench")
END = "--end-of-answer--"


def as_server(command, **options):
    """Runs a command as the user PostgreSQL runs as: it refuses to run as root."""
    if os.getuid() == 0:
        user = pwd.getpwnam(os.environ["ONYX_SERVER_USER"])
        options |= {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    return subprocess.run(command, cwd="/", **options)


class Cluster:
    """A server in $ONYX_HOME/bench/NAME. Unless it is to be kept, it begins empty and is removed.
    `settings` are the server's, read at each start."""

    def __init__(self, name, settings=None, keep=False, fresh=False):
        self.directory = os.path.join(CLUSTERS, name)
        self.data = os.path.join(self.directory, "data")
        self.keep = keep
        os.makedirs(CLUSTERS, exist_ok=True)
        self.stop()
        if fresh or not keep or not os.path.exists(os.path.join(self.data, "PG_VERSION")):
            self.create()
        with open(os.path.join(self.data, "bench.conf"), "w", encoding="utf-8") as file:
            for key, value in (settings or {}).items():
                file.write(f"{key} = '{value}'\n")
        self.start()
        atexit.register(self.remove)

    def create(self):
        shutil.rmtree(self.directory, ignore_errors=True)
        os.mkdir(self.directory, 0o700)
        if os.getuid() == 0:
            shutil.chown(self.directory, os.environ["ONYX_SERVER_USER"])
        done = as_server(
            [f"{BIN}/initdb", "--pgdata", self.data, "--username", "postgres", "--encoding", "UTF8",
             "--locale-provider", "builtin", "--locale", "C.UTF-8", "--auth", "trust"],
            capture_output=True, text=True)
        if done.returncode != 0:
            die(f"initdb failed, repair what it says and run this again: {done.stderr.strip()}")
        with open(os.path.join(self.data, "postgresql.conf"), "a", encoding="utf-8") as file:
            file.write("shared_preload_libraries = 'onyx'\nlisten_addresses = ''\n"
                       f"unix_socket_directories = '{self.directory}'\ninclude_if_exists = 'bench.conf'\n")

    def start(self):
        log = os.path.join(self.directory, "server.log")
        done = as_server([f"{BIN}/pg_ctl", "start", "-D", self.data, "-l", log, "-w", "-s"],
                         stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        if done.returncode != 0:
            die(f"the server does not start: {log} says why")

    def stop(self):
        if os.path.exists(os.path.join(self.data, "postmaster.pid")):
            as_server([f"{BIN}/pg_ctl", "stop", "-D", self.data, "-m", "fast", "-w", "-s"],
                      stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def remove(self):
        self.stop()
        if not self.keep:
            shutil.rmtree(self.directory, ignore_errors=True)

    def database(self, name):
        """A session on a new database with the extension."""
        with self.session("postgres") as session:
            session.run(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
            session.run(f"CREATE DATABASE {name}")
        session = self.session(name)
        session.run("CREATE EXTENSION onyx CASCADE")
        return session

    def session(self, name):
        return Session(self.directory, name)


class Session:
    """A psql that stays connected, so that times are those of the server, not of connecting."""

    def __init__(self, socket, database):
        self.errors = []
        self.psql = subprocess.Popen(
            [f"{BIN}/psql", "-X", "-q", "-A", "-t", "-F", "\t", "-h", socket, "-U", "postgres", "-d", database,
             "-v", "VERBOSITY=verbose"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1)
        threading.Thread(target=self._collect, daemon=True).start()
        self.run("SET client_min_messages = error")
        self.pid = int(self.value("SELECT pg_backend_pid()"))

    def _collect(self):
        for line in self.psql.stderr:
            self.errors.append(line.rstrip("\n"))

    def run(self, sql):
        """The rows of a statement, as lists of texts."""
        return self.timed(sql)[0]

    def timed(self, sql):
        """The rows of a statement and its milliseconds as the client sees them."""
        self.psql.stdin.write(f"\\timing on\n{sql};\n\\timing off\n\\echo {END} :ERROR\n")
        self.psql.stdin.flush()
        rows, took = [], None
        for line in self.psql.stdout:
            line = line.rstrip("\n")
            if line.startswith(END):
                if line.endswith("true"):
                    die("a statement failed: " + " / ".join(self.errors[-4:]) + f" ({sql[:200]})")
                return rows, took
            time = re.fullmatch(r"Time: ([0-9.]+) ms.*", line)
            if time:
                took = float(time[1])
            else:
                rows.append(line.split("\t"))
        die("the server closed the connection: look into server.log (" + " / ".join(self.errors[-4:]) + ")")

    def value(self, sql):
        rows = self.run(sql)
        return rows[0][0] if rows else ""

    def close(self):
        self.psql.stdin.close()
        self.psql.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def literal(text):
    return "'" + text.replace("'", "''") + "'"


def peak_bytes(pid):
    """Most memory a process had, shared buffers it touched included."""
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        for line in file:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0


def cpu_milliseconds(pid):
    """The same to the nanosecond, of a process with one thread: exact while it waits."""
    with open(f"/proc/{pid}/schedstat", encoding="ascii") as file:
        return int(file.read().split()[0]) / 1e6


def cpu_seconds(pid):
    """Processor time a process has used."""
    with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
