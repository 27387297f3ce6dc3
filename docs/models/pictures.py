"""Train each model, and save a picture of its run, one that TensorBoard shows, as NAME.png.

Usage: python docs/models/pictures.py [NAME...]
"""

import subprocess
import sys
import tempfile
from base64 import b64decode
from pathlib import Path

from torch_parity.compare.runs import events

FLOWER = ("--data", "flower", "--steps", "400")
PICTURES: dict[str, tuple[str, tuple[str, ...]]] = {  # its tag, and how the model is trained
    "mlp": ("decision boundary", (*FLOWER, "--hidden", "16,8")),
    "residual": ("decision boundary", (*FLOWER, "--hidden", "16,8,8")),
    "convnet": ("feature maps", ()),
    "resnet": ("feature maps", ()),
    "char_lstm": ("gates", ()),
    "gpt": ("attention", ()),
}


def save(name: str, runs: Path) -> None:
    """Train the model, and write the last picture of its tag."""
    tag, options = PICTURES[name]
    parity = str(Path(sys.executable).with_name("parity"))
    where = ("--name", name, "--runs", str(runs))
    command = (parity, "train", "--model", name, *options, *where)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    drawn = events.read(runs / name / "parity").pictures
    picture = next(p for p in drawn if p.name.startswith(tag))
    Path(__file__).with_name(f"{name}.png").write_bytes(b64decode(picture.uri.partition(",")[2]))


def main() -> None:
    """Every picture, or those named."""
    with tempfile.TemporaryDirectory() as folder:
        for name in sys.argv[1:] or PICTURES:
            save(name, Path(folder))


if __name__ == "__main__":
    main()
