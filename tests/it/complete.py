"""Types into a shell on a terminal of its own, as a person does, and prints what the shell made of it.

Arguments: a JSON object with `argv`, `env`, `setup` (lines that are run first) and `typed` (lines that end in a TAB). Of each line the
completed words come back, as the shell itself splits them: it is made to print them instead of running them.
"""

import json
import os
import pty
import re
import select
import sys
import time

asked = json.loads(sys.argv[1])
pid, terminal = pty.fork()
if pid == 0:
    os.execvpe(asked["argv"][0], asked["argv"], asked["env"])


def until(pattern, seen=b""):
    """Reads until the pattern is there; what came after it stays out."""
    end = time.monotonic() + 60
    while not re.search(pattern, seen):
        if time.monotonic() > end or not select.select([terminal], [], [], end - time.monotonic())[0]:
            sys.exit(f"waited for {pattern!r} in vain: {seen!r}")
        part = os.read(terminal, 65536)
        # What fish asks of a terminal before it starts.
        if b"\x1b[c" in part or b"\x1b[0c" in part:
            os.write(terminal, b"\x1b[?62c")
        seen += part
    return re.search(pattern, seen)


os.write(terminal, asked["setup"].encode() + b"; printf 'rea%s\\n' dy\r")
until(rb"\nready\r?\n|\rready\r?\n|ready\r\n")
done = []
for number, line in enumerate(asked["typed"]):
    # Completed, then to the beginning of the line, where a command that prints words is put before it.
    os.write(terminal, line.encode() + b"\t\x01" + b"printf '[%s]' end" + str(number).encode() + b" \r")
    # Words come one by one: whatever follows them has to be there too.
    found = until(rb"\[end%d\]((?:\[[^\]\r\n]*\])*)[^\[]" % number)
    done.append(re.findall(r"\[([^\]]*)\]", found.group(1).decode()))
os.close(terminal)
print(json.dumps(done))
