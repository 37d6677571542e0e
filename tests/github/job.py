"""Runs an action's own shell steps as a runner would: its expressions, its files, its order."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
SHELL = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c"]  # what `shell: bash` means
_EXPRESSION = re.compile(r"\$\{\{(.+?)\}\}")
_TOKEN = re.compile(r"'(?P<text>[^']*)'|(?P<sign>&&|\|\||==|!=)|(?P<name>[a-z][\w.-]*)|\s+")
_SIGNS = {"&&": "and", "||": "or", "==": "==", "!=": "!="}


def read_action(path: Path = ROOT / "action.yml") -> dict[str, Any]:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


@dataclass
class Job:
    """One job that uses the action.

    Attributes:
        workspace: the checkout.
        temp: RUNNER_TEMP.
        inputs: given ones; the rest have the action's defaults.
        environment: of the job.
        used: the `uses` steps that the job came to, with their evaluated inputs.
    """

    workspace: Path
    temp: Path
    inputs: dict[str, str] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    used: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    steps: dict[str, dict[str, str]] = field(default_factory=dict)
    log: str = ""
    summary: str = ""

    def run(self, *, skip: tuple[str, ...] = ("Install",)) -> int:
        """Run all steps; return the exit status of the one that fails, else 0."""
        action = read_action()
        self.temp.mkdir(parents=True, exist_ok=True)
        defaults = {name: str(each.get("default", "")) for name, each in action["inputs"].items()}
        assert set(self.inputs) <= set(defaults)
        self.inputs = {**defaults, **self.inputs}
        for step in action["runs"]["steps"]:
            if step["name"] in skip or not self._wanted(step):
                continue
            if "uses" in step:
                given = {name: self._text(text) for name, text in step.get("with", {}).items()}
                self.used.append((step["uses"].partition("@")[0], given))
            elif status := self.shell(step):
                return status
        return 0

    def shell(self, step: dict[str, Any], path: str = "") -> int:
        """Run one `run` step; `path` comes before everything on PATH."""
        output, summary = self.temp / "output", self.temp / "summary"
        output.write_text("")
        summary.write_text("")
        # What this process's own CI sets must not reach the job.
        ours = ("GITHUB_", "RUNNER_", "CI", "TF_BUILD", "GITLAB_CI")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        done = subprocess.run(
            [*SHELL, step["run"]],
            cwd=self.workspace,
            env={
                **kept,
                "PATH": f"{path}{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}",
                "CI": "true",
                "GITHUB_ACTIONS": "true",
                "GITHUB_ACTION_PATH": str(ROOT),
                "GITHUB_OUTPUT": str(output),
                "GITHUB_STEP_SUMMARY": str(summary),
                "RUNNER_TEMP": str(self.temp),
                **self.environment,
                **{name: self._text(text) for name, text in step.get("env", {}).items()},
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=300,
            check=False,
        )
        self.log += done.stdout + done.stderr
        self.summary += summary.read_text(encoding="utf-8")
        if "id" in step:
            self.steps[step["id"]] = parse_outputs(output.read_text(encoding="utf-8"))
        return done.returncode

    @property
    def outputs(self) -> dict[str, str]:
        """The action's outputs."""
        declared = read_action()["outputs"]
        return {name: self._text(each["value"]) for name, each in declared.items()}

    def _wanted(self, step: dict[str, Any]) -> bool:
        condition = str(step.get("if", "'true'"))
        if "contains(" in condition:  # of the step that saves the cache, which only pushes do
            return False
        return bool(self._value(condition))

    def _text(self, text: Any) -> str:
        return _EXPRESSION.sub(lambda match: str(self._value(match.group(1))), str(text))

    def _value(self, expression: str) -> Any:
        """An expression of names, texts, `==`, `!=`, `&&` and `||`; functions give nothing."""
        if "(" in expression:
            return ""
        words, place, names = [], 0, {}
        while place < len(expression):
            match = _TOKEN.match(expression, place)
            assert match, expression
            place = match.end()
            if match["sign"]:
                words.append(_SIGNS[match["sign"]])
            elif match["name"] or match["text"] is not None:
                name = f"v{len(names)}"
                names[name] = self._lookup(match["name"]) if match["name"] else match["text"]
                words.append(name)
        return eval(" ".join(words), {"__builtins__": {}}, names)

    def _lookup(self, name: str) -> str:
        scope, _, rest = name.partition(".")
        if scope == "inputs":
            return self.inputs[rest]
        if scope == "steps":
            step, _, output = rest.partition(".outputs.")
            return self.steps.get(step, {}).get(output, "")
        return {"runner.temp": str(self.temp), "runner.os": "Linux", "runner.arch": "X64"}[name]


def parse_outputs(text: str) -> dict[str, str]:
    """Read an output file as a runner does: `name=value`, or `name<<MARK` up to MARK."""
    values, lines = {}, iter(text.split("\n"))
    for line in lines:
        if not line:
            continue
        name, sign, rest = re.match(r"([^=<]+)(=|<<)(.*)", line).groups()
        if sign == "=":
            values[name] = rest
            continue
        held = []
        while (each := next(lines)) != rest:
            held.append(each)
        values[name] = "\n".join(held)
    return values
