"""Runs the playbook beside it by Ansible, at VAULT_ADDR, and prints what it saw."""

import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))

with tempfile.TemporaryDirectory() as folder:
    seen = os.path.join(folder, "seen.json")
    environment = dict(
        os.environ,
        SEEN=seen,
        # It takes no other encoding.
        LC_ALL="C.UTF-8",
        ANSIBLE_HOME=folder,
        ANSIBLE_LOCALHOST_WARNING="False",
        ANSIBLE_INVENTORY_UNPARSED_WARNING="False",
        ANSIBLE_PYTHON_INTERPRETER=sys.executable,
    )
    done = subprocess.run(
        [sys.executable, "-m", "ansible", "playbook", os.path.join(HERE, "client.yml")],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        sys.exit(done.stdout)
    with open(seen, encoding="utf-8") as file:
        print(file.read())
