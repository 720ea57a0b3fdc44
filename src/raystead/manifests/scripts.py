"""The little shell and Python that our pods run; standard library only, no secret in any text."""

from __future__ import annotations

__all__ = ["EXEC_RAY", "FAIL_DEAD_JOBS", "WAIT_FOR_REDIS", "redis_start"]

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

# Ray marks jobs of dead drivers as failed only when the agent's job manager is first asked (ray.md B).
FAIL_DEAD_JOBS = """\
python3 -c '
import os, time, urllib.error, urllib.request
url = "http://127.0.0.1:{port}/api/job_agent/jobs/x/logs"
path = os.environ.get("RAY_AUTH_TOKEN_PATH")
token = open(path).read().strip() if path else os.environ.get("RAY_AUTH_TOKEN", "")
headers = {{"Authorization": "Bearer " + token}} if token else {{}}
for _ in range(300):
    time.sleep(2)
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

EXEC_RAY = "exec ray start"  # Ray must be process 1, or it never sees SIGTERM and cannot drain


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
