"""`savs doctor`: what a report of a bug needs."""

from typing import TYPE_CHECKING, Any

import typer

from savs.pipeline.cli import exit_codes as exits
from savs.pipeline.cli.options.settings import JsonOption
from savs.pipeline.cli.output import print_json, print_pairs, say
from savs.pipeline.running.formatting import counted, format_bytes

if TYPE_CHECKING:
    from savs.pipeline.cli.diagnosis import Diagnosis

EXAMPLES = ("savs doctor", "savs doctor --json")


def doctor_command(json: JsonOption = False) -> None:
    """Leaves out tokens, addresses and your name. Exits with code 1 if something is wrong."""
    from savs.pipeline.cli.diagnosis import diagnose

    diagnosis = diagnose()
    if json:
        print_json(diagnosis.to_json())
    else:
        print_pairs(_rows(diagnosis))
    for problem in diagnosis.problems:
        say(f"problem: {problem}")
    if diagnosis.problems:
        raise typer.Exit(exits.FAILURE)


def _rows(diagnosis: "Diagnosis") -> list[tuple[str, str]]:
    core = [f"{p.name} {p.version}" for p in diagnosis.packages if p.extra is None]
    extras: dict[str, list[str]] = {}
    for package in diagnosis.packages:
        if package.extra is not None:
            text = f"{package.name} {package.version or 'not installed'}"
            extras.setdefault(package.extra, []).append(text)
    memory = [f"{format_bytes(size)} {name}" for name, size in diagnosis.memory.items()]
    decoders = [f"{name}{'' if works else ' not'}" for name, works in diagnosis.decoders.items()]
    state = counted(len(diagnosis.problems), "problem") if diagnosis.problems else "passed"
    return [
        ("savs", diagnosis.savs),
        *diagnosis.system.items(),
        ("memory", ", ".join(memory) or "unknown"),
        *((f"disk {name}", _disk(disk)) for name, disk in diagnosis.disks.items()),
        ("variables", ", ".join(f"{k}={v}" for k, v in diagnosis.variables.items()) or "none set"),
        ("packages", ", ".join(core)),
        *((f"extra {name}", ", ".join(texts)) for name, texts in extras.items()),
        (
            "devices",
            "torch is not installed" if diagnosis.devices is None else _devices(diagnosis.devices),
        ),
        ("decoders", ", ".join(decoders)),
        ("self-test", f"{state} in {diagnosis.self_test_s:.1f} s"),
    ]


def _disk(disk: Any) -> str:
    note = "" if disk["writable"] else ", cannot be written"
    return f"{disk['path']}, {format_bytes(disk['free_bytes'])} free{note}"


def _devices(devices: Any) -> str:
    gpus = [f"{gpu['name']} ({format_bytes(gpu['bytes'])})" for gpu in devices["gpus"]]
    others = [f"CUDA {devices['cuda']}"] if "cuda" in devices else []
    others += ["MPS"] if devices["mps"] else []
    return ", ".join([*gpus, *others, f"CPU with {devices['threads']} threads"])
