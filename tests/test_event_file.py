"""TensorBoard's own writer and reader are the judges of what EventFile writes."""

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import PyRecordReader_New
from tensorboard.summary.writer.record_writer import RecordWriter

from torch_parity.compare.runs.event_file import EventFile, record


@pytest.mark.parametrize("size", [0, 1, 7, 8, 1000, 70_001])
def test_a_record_is_what_tensorboards_own_writer_writes(size: int) -> None:
    data, theirs = np.random.default_rng(size).bytes(size), io.BytesIO()
    RecordWriter(theirs).write(data)
    assert record(data) == theirs.getvalue()


def test_tensorboards_reader_refuses_a_damaged_record(tmp_path: Path) -> None:
    """The checksum is of these bytes: one bit elsewhere, and the reader says so."""
    path = tmp_path / "events"
    whole = record(b"a step")
    path.write_bytes(whole)
    PyRecordReader_New(str(path)).GetNext()
    path.write_bytes(whole[:-5] + bytes([whole[-5] ^ 1]) + whole[-4:])
    with pytest.raises(Exception, match=r"(?i)crc|checksum|corrupt"):
        PyRecordReader_New(str(path)).GetNext()


def test_a_log_goes_on_where_it_stood(tmp_path: Path) -> None:
    """Opened twice: one header, both events."""
    for step in (1, 2):
        log = EventFile(tmp_path)
        log.add_summary(Summary(value=[Summary.Value(tag="loss", simple_value=0.5)]), step)
        log.close()
    data, records = (tmp_path / "events.out.tfevents.0").read_bytes(), 0
    while data:
        (length,) = struct.unpack_from("<Q", data)
        assert data[: 16 + length] == record(data[12 : 12 + length])
        data, records = data[16 + length :], records + 1
    assert records == 3
