"""The little shell and Python that our pods run; standard library only, no secret in any text."""

from __future__ import annotations

__all__ = ["WAIT_FOR_REDIS", "cluster_over", "fail_dead_jobs", "ray_start", "redis_start", "take_redis"]

# Python has a socket in every Ray image; wget, nc and redis-cli are not in all of them.
WAIT_FOR_REDIS = """\
python3 -c '
import os, socket, time
said = os.environ["RAY_REDIS_ADDRESS"].split(",")[0].split("://")[-1]
host, _, port = said.rpartition(":") if ":" in said else (said, "", "6379")
tries = 0
while True:
    try:
        socket.create_connection((host.strip("[]"), int(port)), 2).close()
        break
    except OSError as error:
        if tries % 10 == 0:
            print("raystead: waiting for Redis at", said, error, flush=True)
        tries += 1
        time.sleep(1)
'
"""

# ADR 0006: a Deployment may start a new head while the old one still runs (a grace period, a lost node),
# and two GCS that write to one Redis ruin the state. So each head gives the Redis user `gcs` a new password
# and cuts off who had the old one. The list of heads says who came after whom: a head with a successor waits
# for its end. Redis before 6 has no users, and no such protection.
# Standard output is shell variables; of the user and the password none is exported.
_TAKE_REDIS = """\
eval "$(python3 -IS -c '
import os, secrets, shlex, socket, sys, time
me = os.environ["RAY_CLOUD_INSTANCE_ID"]
address = os.environ["RAY_REDIS_ADDRESS"]
host, _, port = address.rpartition(":")

class Refused(Exception):
    pass

def reply(stream):
    line = stream.readline().decode().strip()
    if not line:
        raise OSError("the connection was closed")
    if line[0] == "-":
        raise Refused(line[1:])
    if line[0] == "*":
        return [reply(stream) for _ in range(int(line[1:]))]
    return stream.read(int(line[1:]) + 2)[:-2].decode() if line[0] == "$" else line[1:]

def take(stream):
    def ask(*words):
        parts = [b"$%d\\r\\n%b\\r\\n" % (len(word), word) for word in map(str.encode, words)]
        stream.write(b"*%d\\r\\n" % len(parts) + b"".join(parts))
        stream.flush()
        return reply(stream)

    admin = open("PASSWORD_FILE").read().strip()
    ask("AUTH", admin)
    heads = ask("LRANGE", "raystead:heads", "0", "-1")
    if me in heads[:-1]:
        return None
    if me not in heads:
        ask("RPUSH", "raystead:heads", me)
        ask("LTRIM", "raystead:heads", "-100", "-1")
    own = secrets.token_urlsafe(24)
    try:
        ask("ACL", "SETUSER", "gcs", "reset", "on", ">" + own, "allkeys", "allchannels", "+@all", "-@admin")
    except Refused as error:
        if "unknown command" not in str(error):
            raise
        return "", admin
    ask("CLIENT", "KILL", "USER", "gcs")
    ask("SET", "raystead:head", me)  # refused by a full Redis, in which the GCS would die of its first write
    return "gcs", own

said, tries = "", 0
while True:
    try:
        with socket.create_connection((host, int(port)), 2) as connection:
            taken = take(connection.makefile("rwb"))
            # Ray would ask DNS anew for each connection, and die of a failing one
            if connection.family == socket.AF_INET:
                address = "%s:%d" % connection.getpeername()
        if taken:
            break
        text = "another head came after this one, which waits for its end"
    except (OSError, Refused) as error:
        text = f"waiting for Redis at {address} {error}"
    if text != said or tries % 20 == 0:
        print("raystead:", text, file=sys.stderr, flush=True)
    said, tries = text, tries + 1
    time.sleep(0.5)
names = ("REDIS_USERNAME", "REDIS_PASSWORD", "RAY_REDIS_ADDRESS")
print(*(f"{name}={shlex.quote(value)}" for name, value in zip(names, (*taken, address))))
')"
"""

# Ray marks jobs of dead drivers as failed only when the agent's job manager is first asked
# (docs/facts/ray.md#jobs).
_FAIL_DEAD_JOBS = """\
python3 -IS -c '
import os, time
time.sleep(4)  # the start of the head needs the CPU
import urllib.error, urllib.request
url = "http://127.0.0.1:{port}/api/job_agent/jobs/x/logs"
path = os.environ.get("RAY_AUTH_TOKEN_PATH")
token = open(path).read().strip() if path else os.environ.get("RAY_AUTH_TOKEN", "")
headers = {{"Authorization": "Bearer " + token}} if token else {{}}
{direct}for _ in range(600):
    time.sleep(1)
    try:
        urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=30).close()
        break
    except urllib.error.HTTPError as error:
        if error.code == 404:
            break
    except OSError:
        pass
' >/dev/null 2>&1 &
"""

# ADR 0010: every job leaves an orphan, which `ray start` as process 1 never reaps. A shell does; `set -m`
# keeps SIGINT as it was (a shell's background processes else ignore it, and ray.cancel needs it).
_REAPING = """\
set -m; {command} & ray=$!; set +m
trap "{before}kill -TERM $ray{meanwhile}" TERM INT  # Ray drains; this shell reaps what jobs leave behind
while wait $ray; code=$?; kill -0 $ray 2>/dev/null; do :; done; exit $code"""

# A RayJob's cluster ends with its job: nobody takes what a worker would hand over, and `ray start` waits in
# its drain for a GCS that ended a moment before: 60 s were seen, with all that the pod holds (ADR 14).
_OVER = "raystead_over"
_CLUSTER_OVER = """\
{name}() {{ python3 -IS -c '
import os, socket, sys, time  # no urllib: its import is half of the time
path = os.environ.get("RAY_AUTH_TOKEN_PATH")
token = open(path).read().strip() if path else os.environ.get("RAY_AUTH_TOKEN", "")
asked = "GET /api/packages/gcs/{mark}.zip HTTP/1.0\\r\\nHost: {host}\\r\\n"
asked += "Authorization: Bearer " + token + "\\r\\n\\r\\n" if token else "\\r\\n"
host, gcs = "{host}", {gcs_port}
for _ in range(3):
    try:
        if gcs:
            socket.create_connection((host, gcs), 1).close()
    except OSError:
        break
    try:
        with socket.create_connection((host, {port}), 1) as head:
            head.sendall(asked.encode())
            answer = head.makefile("rb").readline().split()
        if answer[1:2]:
            sys.exit(answer[1] != b"200")
    except OSError:
        pass
    time.sleep(0.2)
else:
    sys.exit(1)
' 2>/dev/null; }}
"""

# The http_proxy of a pod is not for what the pod asks itself.
_DIRECT = "urllib.request.install_opener(urllib.request.build_opener(urllib.request.ProxyHandler({})))\n"


def ray_start(command: str, *, may_be_over: bool = False) -> str:
    """Ray's start command under a process 1 that hands SIGTERM on to it and ends with its exit code.

    `may_be_over`: the shell has the function of `cluster_over`; where that holds at SIGTERM, process 1 ends
    at once, and all that runs in the container with it; where it holds only while Ray drains, Ray is killed.
    """
    before = f"{_OVER} && exit 0; " if may_be_over else ""
    meanwhile = f"; while sleep 1; kill -0 $ray 2>/dev/null; do {_OVER} && kill -KILL $ray; done &"
    return _REAPING.format(command=command, before=before, meanwhile=meanwhile if may_be_over else "")


def cluster_over(host: str, port: str, mark: str, gcs_port: str = "") -> str:
    """A shell function: has the keeper left that mark, as it ended what this pod belongs to?

    `gcs_port`: where a cluster without a GCS is over as well, for a drain would wait in vain; "" elsewhere.
    """
    return _CLUSTER_OVER.format(name=_OVER, host=host, port=port, mark=mark, gcs_port=gcs_port or 0)


def fail_dead_jobs(port: str, *, direct: bool = True) -> str:
    """Ray's jobs of dead drivers become FAILED, once its job agent answers at the port.

    `direct`: past a proxy that the pod's environment names.
    """
    return _FAIL_DEAD_JOBS.format(port=port, direct=_DIRECT if direct else "")


def take_redis(password: str) -> str:
    """Waits for our Redis, then makes this head the only one that may write.

    `password`: path of the file with the password of Redis' default user.
    """
    return _TAKE_REDIS.replace("PASSWORD_FILE", password)


def redis_start(config: str, password: str, target: str) -> str:
    """Redis' start: its configuration and the password's file joined in memory, then Redis as process 1."""
    return f"""\
umask 077
cat {config} > {target}
rest=$(cat {password})
[ -n "$rest" ] || {{ echo "the password's file is empty" >&2; exit 1; }}
word=
while [ -n "$rest" ]; do  # quotes and backslashes escaped by the shell itself: small images have no sed
  next=${{rest#?}}
  letter=${{rest%"$next"}}
  case $letter in [\\"\\\\]) word="$word\\\\";; esac
  word="$word$letter"
  rest=$next
done
printf 'requirepass "%s"\\n' "$word" >> {target}
exec redis-server {target}
"""


def redis_cli(password: str) -> str:
    """A ping that hands the password over in the environment, where no process list shows it."""
    return f'REDISCLI_AUTH="$(cat {password})" redis-cli ping'
