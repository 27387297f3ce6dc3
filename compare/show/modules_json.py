"""A report on models for machines: names and numbers, and null for what is no number."""

import json
from pathlib import Path
from typing import Any

from torch_parity.compare.aten.naming import TensorNames, formula
from torch_parity.compare.aten.pair_report import ModulesReport
from torch_parity.compare.aten.record import Call, Record
from torch_parity.compare.aten.report import ModelReport
from torch_parity.compare.numbers import json_safe
from torch_parity.compare.runs.modules_report import TrainingReport

Reports = ModelReport | ModulesReport | TrainingReport


def to_json(report: Reports) -> str:
    """JSON of the report."""
    if isinstance(report, TrainingReport):
        return report.json()
    if isinstance(report, ModulesReport):
        told = {"kind": "modules"} | _modules(report)
    else:
        told = {"kind": "model"} | _model(report)
    return json.dumps(json_safe(told))


def write_model_report(folder: Path, report: Reports) -> None:
    """report.txt and report.json."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.txt").write_text(f"{report}\n", "utf-8")
    (folder / "report.json").write_text(to_json(report) + "\n", "utf-8")


def _model(report: ModelReport) -> dict[str, Any]:
    names = TensorNames(report.record)
    return {
        "outcome": report.outcome,
        "called": report.called,
        "calls": report.calls,
        "judged": report.judged,
        "greatest_use": report.greatest_use,
        "wrong": [
            _call(v.call, names)
            | {"output": v.output, "use": v.held.use, "index": list(v.held.index)}
            | {"seen": v.held.seen, "expected": v.held.expected, "bound": v.held.bound}
            for v in report.wrong
        ],
        "unjudged": [
            {"operation": v.call.operation, "index": v.call.index, "reason": v.reason}
            for v in report.unjudged
        ],
        "functions": [vars(f) for f in report.functions],
        "compiled": {
            "calls": report.record.compiled,
            "graphs": report.record.graphs,
            "graph_breaks": report.record.graph_breaks,
            "eager_instead": report.record.eager_instead,
        },
        "unshown": list(report.unshown),
        "not_run": list(report.not_run),
        "notes": report.record.notes,
    }


def _modules(report: ModulesReport) -> dict[str, Any]:
    a, b = report.alignment.a, report.alignment.b
    parting = report.parting
    return {
        "outcome": report.outcome,
        "called": list(report.called),
        "precision": report.precision,
        "compared": list(report.compared),
        "results": [
            {
                "name": e.end.name,
                "partner": e.end.partner,
                "outcome": e.outcome,
                "use": e.use,
                "power": e.power,
                "index": list(e.index),
                "a": e.of_a,
                "b": e.of_b,
                "bound": e.bound,
                "reason": e.reason,
            }
            for e in report.alignment.ends
        ],
        "lacking": list(report.lacking),
        "unpaired": list(report.unpaired),
        "differing": list(report.differing),
        "others": [vars(o) for o in report.others],
        "parting": None
        if parting is None
        else {
            "result": parting.end.end.name,
            "a": _calls(parting.of_a, a),
            "b": _calls(parting.of_b, b),
        },
        "causes": list(report.causes),
        "explanations": list(report.explanations),
        "models": [_model(m) for m in report.models],
        "unshown": list(report.unshown),
        "not_run": list(report.not_run),
        "notes": list(report.notes),
    }


def _calls(calls: tuple[Call, ...], record: Record) -> list[dict[str, Any]]:
    names = TensorNames(record)
    return [_call(call, names) for call in calls]


def _call(call: Call, names: TensorNames) -> dict[str, Any]:
    return {
        "call": formula(call, names),
        "operation": call.operation,
        "module": call.module,
        "phase": call.phase,
        "line": call.line,
    }
