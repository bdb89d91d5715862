"""Runs on the host, under its own python3 (3.6 or later), with pynvml's source sent along; prints one JSON line.

Never imported by the program: `gpus.probe_source` sends it as text. A value that can't be had is null.
"""

# Untyped, since hosts may have an old python3 and each import costs there.
# mypy: disable-error-code="no-untyped-def,no-untyped-call,var-annotated,import-untyped"
# ruff: noqa: RUF005, PTH112, PTH120, ANN001, ANN201, BLE001, PTH110, PTH118, PTH123, PTH208, UP032, D103
import json
import os
import re
import subprocess
import sys
import time

ASKED = {}  # replaced by what is asked: paths, interval_s, gpus, programs, proc


def value(get):
    """What `get` gives; None where it is not available."""
    try:
        return get()
    except Exception:
        return None


def text(found):
    return found.decode("utf-8", "replace") if isinstance(found, bytes) else found


def memory(nvml, handle):
    """(total, used, free): the second version of the call keeps what the driver reserves out of `used`."""
    found = value(lambda: nvml.nvmlDeviceGetMemoryInfo(handle, version=nvml.nvmlMemory_v2))
    found = found or value(lambda: nvml.nvmlDeviceGetMemoryInfo(handle))
    if found is None or not found.total:
        return None, None, None
    return found.total, found.used, found.free


def describe(nvml, handle, index, name, mig):
    total, used, free = memory(nvml, handle)
    uuid = text(nvml.nvmlDeviceGetUUID(handle))
    return {
        "uuid": uuid,
        "index": index,
        "name": name,
        "memory_total": total,
        "memory_used": used,
        "memory_free": free,
        "mig": mig,
    }


def counters(nvml, handle):
    power = value(lambda: nvml.nvmlDeviceGetPowerUsage(handle))
    capability = value(lambda: nvml.nvmlDeviceGetCudaComputeCapability(handle))
    return {
        "utilization": value(lambda: nvml.nvmlDeviceGetUtilizationRates(handle).gpu),
        "temperature": value(lambda: nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU)),
        "power": None if power is None else power / 1000.0,
        "compute_capability": "{}.{}".format(*capability) if capability else "",
    }


def slices(nvml, handle):
    """The MIG devices of a GPU that is split; the GPU itself can't be used then."""
    count = value(lambda: nvml.nvmlDeviceGetMaxMigDeviceCount(handle)) or 0
    found = [value(lambda at=at: nvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, at)) for at in range(count)]
    return [one for one in found if one is not None]


def one_gpu(nvml, index):
    handle = nvml.nvmlDeviceGetHandleByIndex(index)
    name = text(value(lambda: nvml.nvmlDeviceGetName(handle)) or "NVIDIA GPU")
    driver = text(value(nvml.nvmlSystemGetDriverVersion) or "")
    split = bool((value(lambda: nvml.nvmlDeviceGetMigMode(handle)) or (0, 0))[0])
    parts = slices(nvml, handle) if split else []
    common = dict(counters(nvml, handle), driver_version=driver)
    if not parts:
        return [dict(describe(nvml, handle, index, name, split), **common)]
    common["utilization"] = None  # NVML has none for a slice, and the GPU's would mislead
    named = [(part, text(value(lambda part=part: nvml.nvmlDeviceGetName(part)) or name)) for part in parts]
    return [dict(describe(nvml, part, index, part_name, True), **common) for part, part_name in named]


def container_of(pid):
    """The id of the container that a process runs in; empty for one outside of containers."""
    with open(os.path.join(ASKED["proc"], str(pid), "cgroup")) as lines:
        found = re.search("[0-9a-f]{64}", lines.read())
    return found.group() if found else ""


def users_of(nvml, index):
    """Who has memory of a GPU, by process."""
    handle = nvml.nvmlDeviceGetHandleByIndex(index)
    running = value(lambda: nvml.nvmlDeviceGetComputeRunningProcesses(handle)) or []
    return [
        {"pid": one.pid, "used": one.usedGpuMemory, "container": value(lambda one=one: container_of(one.pid)) or ""}
        for one in running
    ]


def nvml_gpus(answer):
    try:
        import pynvml as nvml

        nvml.nvmlInit()
    except Exception as error:
        answer["gpu_problem"] = "{}: {}".format(type(error).__name__, error)
        return
    try:
        indexes = range(nvml.nvmlDeviceGetCount())
        found = [value(lambda at=at: one_gpu(nvml, at)) for at in indexes]
        answer["gpu_users"] = [one for at in indexes for one in value(lambda at=at: users_of(nvml, at)) or []]
        answer["gpus"] = [gpu for group in found for gpu in group or []]
        answer["gpu_source"] = "nvml"
        if None in found:
            answer["gpu_problem"] = "GPU {} does not answer".format(found.index(None))
    except Exception as error:
        answer["gpu_problem"] = "{}: {}".format(type(error).__name__, error)
    finally:
        value(nvml.nvmlShutdown)


def smi_gpus(answer):
    """The raw answer of nvidia-smi; it is read where the program runs."""
    try:
        done = subprocess.run(ASKED["smi"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=10, check=False)
    except OSError:
        return
    except subprocess.TimeoutExpired:
        answer["gpu_problem"] = "nvidia-smi did not answer within 10 s"
        return
    shown = done.stdout.decode("utf-8", "replace")
    if done.returncode == 0:
        answer["smi"] = shown
    else:
        answer["gpu_problem"] = shown.strip()[:400]


def meminfo():
    with open("/proc/meminfo") as lines:
        found = dict(line.split(":", 1) for line in lines)
    return {name: int(found[name].split()[0]) * 1024 for name in ("MemTotal", "MemAvailable") if name in found}


def os_name():
    with open("/etc/os-release", encoding="utf-8", errors="replace") as lines:
        found = dict(line.rstrip().split("=", 1) for line in lines if "=" in line)
    return found.get("PRETTY_NAME", "").strip("\"'")


def has_nvidia():
    """Whether NVIDIA hardware that computes or draws (PCI class 03) is there, with or without a driver."""
    root = "/sys/bus/pci/devices"
    for name in os.listdir(root):
        with open(os.path.join(root, name, "vendor")) as vendor, open(os.path.join(root, name, "class")) as kind:
            if vendor.read().strip() == "0x10de" and kind.read().startswith("0x03"):
                return True
    return os.path.exists("/proc/driver/nvidia/version")


def place(path):
    """A folder's file system, and what this user may do with it."""
    parent = path
    while parent and not os.path.lexists(parent):
        parent = os.path.dirname(parent)
    space = os.statvfs(parent or "/")
    return {
        "path": path,
        "total": space.f_blocks * space.f_frsize,
        "free": space.f_bavail * space.f_frsize,
        "exists": os.path.isdir(path),
        "readable": os.access(path, os.R_OK | os.X_OK),
        "writable": os.access(parent or "/", os.W_OK),
    }


def found_programs():
    folders = os.environ.get("PATH", "").split(":") + ["/usr/sbin", "/sbin", "/usr/local/bin"]
    return [name for name in ASKED["programs"] if any(os.access(os.path.join(at, name), os.X_OK) for at in folders)]


def answer_once():
    sizes = value(meminfo) or {}
    answer = {
        "clock": time.time(),
        "python": "{}.{}.{}".format(*sys.version_info[:3]),
        "cpus": os.cpu_count(),
        "memory_total": sizes.get("MemTotal"),
        "memory_available": sizes.get("MemAvailable"),
        "os": value(os_name) or "",
        "places": [found for found in (value(lambda path=path: place(path)) for path in ASKED["paths"]) if found],
        "programs": value(found_programs) or [],
        "nvidia": bool(value(has_nvidia)),
        "gpus": [],
        "gpu_users": [],
        "gpu_source": "",
        "gpu_problem": "",
    }
    if ASKED["gpus"]:
        nvml_gpus(answer)
        if not answer["gpu_source"]:
            smi_gpus(answer)
    return answer


def main():
    while True:
        sys.stdout.write(json.dumps(answer_once()) + "\n")
        sys.stdout.flush()
        if not ASKED["interval_s"]:
            return
        time.sleep(ASKED["interval_s"])


main()
