"""What vLLM writes when it fails, and what to do; the wording is that of 0.32 and 0.33."""

from __future__ import annotations

import math
import re

from core.engines.diagnosis import Rule

STARTS = re.compile(r"vLLM API server version|\] non-default args: ")


def _share_that_is_free(match: re.Match[str]) -> dict[str, str]:
    """A utilization that the free memory allows, two digits, a little below."""
    free, total = float(match["free"]), float(match["total"])
    share = math.floor(free / total * 100 - 1) / 100 if total else 0
    return {"gpu_memory_utilization": f"{share:.2f}"} if share >= 0.05 else {}


def _longest(match: re.Match[str]) -> dict[str, str]:
    return {"max_model_len": match["longest"].replace(",", "")} if match["longest"] else {}


def _divisor(match: re.Match[str]) -> dict[str, str]:
    heads, size = int(match["heads"]), int(match["size"])
    fitting = max(number for number in range(1, size) if heads % number == 0) if size > 1 else 1
    return {"tensor_parallel_size": str(fitting)}


_LESS = "Lower --max-model-len or --parallel, use a quantized model, or more GPUs with --tensor-parallel-size."

RULES: tuple[Rule, ...] = (
    Rule(
        r"CUDA out of memory occurred when warming up sampler with (?P<seqs>\d+) dummy requests",
        "The GPU ran out of memory while vLLM tried {seqs} requests at the same time.",
        "Lower --parallel or --gpu-memory-utilization.",
        lambda match: {"parallel": str(max(1, int(match["seqs"]) // 4))},
    ),
    Rule(
        r"Free memory on device \S+ \((?P<free>[\d.]+)/(?P<total>[\d.]+) GiB\) on startup is less than desired",
        "Only {free} of {total} GiB of the GPU are free: something else uses it.",
        "Lower --gpu-memory-utilization, stop what uses the GPU, or choose another GPU.",
        _share_that_is_free,
    ),
    Rule(
        r"To serve at least one request with the model\S* max seq(?:uence)? len \((?P<asked>[\d,]+)\)"
        r"(?:.*estimated maximum model length is (?P<longest>[\d,]+))?",
        "The GPU has no room for the cache of one request of {asked} tokens.",
        "Lower --max-model-len, raise --gpu-memory-utilization, or use more GPUs.",
        _longest,
    ),
    Rule(
        r"No available memory for the cache blocks",
        "The weights leave no room for the cache within the share of the GPU that vLLM may use.",
        f"Raise --gpu-memory-utilization. {_LESS}",
    ),
    Rule(
        r"max_num_seqs \((?P<seqs>\d+)\) exceeds available Mamba cache blocks \((?P<blocks>\d+)\)",
        "There is room for {blocks} requests at the same time, not for {seqs}.",
        "Set --parallel to that number.",
        lambda match: {"parallel": match["blocks"]},
    ),
    Rule(
        r"Failed to load model - not enough GPU memory",
        "The weights do not fit in the GPU's memory.",
        "Lower --gpu-memory-utilization for a GPU that is shared; else use more GPUs or a quantized model.",
    ),
    Rule(
        r"User-specified max_model_len \((?P<asked>\d+)\) is greater than the derived max_model_len"
        r"(?: \([^\d]*(?P<longest>\d+))?",
        "The context of {asked} tokens is longer than the model's own.",
        "Lower --max-model-len.",
        _longest,
    ),
    Rule(
        r"Unknown quantization method: (?P<method>[\w-]+)",
        "This vLLM does not know the quantization {method}.",
        "Use AWQ, GPTQ, FP8 or compressed-tensors weights; GGUF files run with --engine llamacpp.",
    ),
    Rule(
        r"quantization method (?P<method>[\w-]+) is not supported for the current GPU\. "
        r"Minimum capability: (?P<needed>\d+)\. Current capability: (?P<has>\d+)",
        "The quantization {method} needs compute capability {needed}, and the GPU has {has}.",
        "Use another quantization of the model (AWQ or GPTQ), or a newer GPU.",
    ),
    Rule(
        r"Quantization method specified in the model config \((?P<config>[\w-]+)\) does not match",
        "The model is quantized with {config}, and another quantization was asked for.",
        "Leave the quantization option out.",
    ),
    Rule(
        r"Bfloat16 is only supported on GPUs with compute capability",
        "The GPU is too old for bfloat16.",
        "Use --dtype float16.",
        lambda _: {"dtype": "float16"},
    ),
    Rule(
        r"Total number of attention heads \((?P<heads>\d+)\) must be divisible by tensor parallel size"
        r" \((?P<size>\d+)\)",
        "The model's {heads} attention heads can't be split over {size} GPUs.",
        "Use a --tensor-parallel-size that divides the number of heads.",
        _divisor,
    ),
    Rule(
        r"World size \((?P<size>\d+)\) is larger than the number of available GPUs(?: \((?P<count>\d+)\))?",
        "{size} GPUs are asked for and fewer are there.",
        "Lower --tensor-parallel-size.",
        lambda match: {"tensor_parallel_size": match["count"]} if match["count"] else {},
    ),
    Rule(
        r"contains custom code which must be executed|consider setting [`']?trust_remote_code=True",
        "The model brings Python code of its own, which vLLM does not run unless it is told to.",
        "Read that code, then deploy with --trust-remote-code; or use a version of the model without it.",
        lambda _: {"trust_remote_code": "true"},
    ),
    Rule(
        r"Model architectures \[(?P<arch>[^\]]{0,80})\] (?:are not supported|failed to be inspected)",
        "This vLLM does not know the architecture {arch}.",
        "Use a newer image; or a GGUF version of the model with --engine llamacpp.",
    ),
    Rule(
        r"was supported in vLLM until (?P<version>v[\d.]+)|is not supported in-tree anymore",
        "This vLLM no longer knows the model's architecture.",
        "Use an older image of vLLM for it.",
    ),
    Rule(
        r"Repo id must be in the form.{0,80}?: '(?P<path>[^']+)'",
        "vLLM finds nothing at {path}.",
        "Check the model's path on that host, or copy or download the model to it.",
    ),
    Rule(
        r"Invalid repository ID or local directory specified: ?'?(?P<path>[^'\s]*)"
        r"|Invalid repository ID or local directory specified",
        "The folder has no config.json that vLLM can read.",
        "Give the folder with config.json and .safetensors; GGUF files run with --engine llamacpp.",
    ),
    Rule(
        r"Cannot find any model weights with",
        "The folder has no weights.",
        "Copy or download the model's .safetensors files into it.",
    ),
    Rule(
        r"SafetensorError|Error while deserializing header|MetadataIncompleteBuffer|HeaderTooLarge|InvalidHeaderLength",
        "A .safetensors file is truncated or damaged.",
        "Copy or download it again, then check it with modelyard files verify.",
    ),
    Rule(
        r"NVIDIA driver on your system is too old \(found version (?P<version>\d+)\)",
        "The host's NVIDIA driver is too old for this image (CUDA {version}).",
        "Use the image's -cu129 variant, or update the driver to 580 or newer.",
    ),
    Rule(
        r"Failed to infer device type|No CUDA GPUs are available|Found no NVIDIA driver|libcuda\.so\.1: cannot open"
        r"|no CUDA-capable device",
        "No usable CUDA: the container sees no NVIDIA GPU.",
        "Choose a host with a GPU; run nvidia-smi there, and set up the NVIDIA Container Toolkit.",
    ),
    Rule(
        r"creating shared memory segment|Bus error|/dev/shm.*No space left",
        "The container's shared memory is too small for several GPUs.",
        "Deploy it again with the default shared memory, or fewer GPUs.",
    ),
    Rule(
        r"trying to access a gated repo|Cannot access gated repo",
        "The model is gated, and the server tried to fetch a part of it.",
        "Download the whole model with a token first: modelyard download start hf:ORG/NAME.",
    ),
    Rule(
        r"outgoing traffic has been disabled|couldn't connect to 'https://huggingface\.co'|LocalEntryNotFoundError",
        "A file of the model is missing, and servers fetch nothing from the internet.",
        "Download the whole model to the host first.",
    ),
    Rule(
        r"unrecognized arguments: (?P<flags>[^\n]{1,120})",
        "This vLLM does not know: {flags}.",
        "Leave it out, or use an image that knows it.",
    ),
    Rule(
        r"error: argument (?P<flag>\S+?): (?P<what>.{1,160})",
        "The value of {flag} is not accepted: {what}",
        "Correct or leave out that option.",
    ),
    Rule(
        r"cat: (?P<path>\S+): (?:No such file|Permission denied)",
        "The file with the API key could not be read.",
        "Deploy it again; with an image that runs as another user, check that it may read /run/secrets.",
    ),
    Rule(
        r"CUDA out of memory\. Tried to allocate (?P<size>[\d.]+ \w+)",
        "The GPU ran out of memory; {size} more were needed.",
        f"Lower --gpu-memory-utilization. {_LESS}",
    ),
    Rule(
        r"OutOfMemoryError|CUDA out of memory|CUDA error: out of memory",
        "The GPU ran out of memory.",
        f"Lower --gpu-memory-utilization. {_LESS}",
    ),
    Rule(
        r"NCCL error|ncclUnhandledCudaError|ncclSystemError",
        "The GPUs could not talk to each other (NCCL).",
        "Try fewer GPUs; set NCCL_DEBUG=INFO in a trial run on the host for details.",
    ),
)
