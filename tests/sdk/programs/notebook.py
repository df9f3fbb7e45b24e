"""Run a notebook in the Python found first on the PATH, in its own folder; print what its cells print.

python notebook.py NOTEBOOK FOLDER NAME=VALUE ...
"""

import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell

NOTEBOOK = Path(sys.argv[1])
KERNEL = {"argv": [shutil.which("python"), "-m", "ipykernel_launcher", "-f", "{connection_file}"]}

notebook = nbformat.read(NOTEBOOK, as_version=4)
given = dict(setting.split("=", 1) for setting in sys.argv[3:])
(place,) = (n for n, cell in enumerate(notebook.cells) if "parameters" in cell.metadata.get("tags", ()))
notebook.cells.insert(place + 1, new_code_cell(f"folder = Path({sys.argv[2]!r})\nhyperparameters |= {given!r}"))

with tempfile.TemporaryDirectory() as folder:
    kernels = Path(folder) / "kernels" / "sdk"
    kernels.mkdir(parents=True)
    (kernels / "kernel.json").write_text(json.dumps(KERNEL | {"display_name": "sdk", "language": "python"}))
    os.environ["JUPYTER_PATH"] = folder
    client = NotebookClient(notebook, timeout=300, kernel_name="sdk", resources={"metadata": {"path": NOTEBOOK.parent}})
    client.execute()

for cell in notebook.cells:
    for output in cell.get("outputs", ()):
        print(output.get("text") or output.get("data", {}).get("text/plain", ""))
