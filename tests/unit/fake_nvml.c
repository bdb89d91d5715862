/* Four GPUs as NVML shows them: a sound one, one without most counters, one in slices (MIG), one that is lost. */
#include <stdlib.h>
#include <string.h>

#define OK 0
#define INVALID 2
#define NOT_SUPPORTED 3
#define LOST 15
#define GIB (1024ULL * 1024 * 1024)

typedef struct { int number; } Device;
typedef struct { unsigned long long total, free, used; } Memory;
typedef struct { unsigned int version; unsigned long long total, reserved, free, used; } Memory2;
typedef struct { unsigned int gpu, memory; } Utilization;

static Device devices[] = {{0}, {1}, {2}, {3}, {20}, {21}};

static int told(const char *name, int otherwise) {
    const char *value = getenv(name);
    return value ? atoi(value) : otherwise;
}

static int copy(char *to, unsigned int size, const char *text) {
    strncpy(to, text, size);
    return OK;
}

int nvmlInitWithFlags(unsigned int flags) {
    while (told("FAKE_NVML_HANGS", 0)) { }
    return told("FAKE_NVML_INIT", OK);
}
int nvmlInit_v2(void) { return nvmlInitWithFlags(0); }
int nvmlShutdown(void) { return OK; }
const char *nvmlErrorString(int code) { return "an error"; }
int nvmlSystemGetDriverVersion(char *to, unsigned int size) { return copy(to, size, "580.95.05"); }
int nvmlDeviceGetCount_v2(unsigned int *count) { *count = 4; return OK; }

int nvmlDeviceGetHandleByIndex_v2(unsigned int index, Device **device) {
    if (index > 2) return LOST;
    *device = &devices[index];
    return OK;
}

int nvmlDeviceGetUUID(Device *device, char *to, unsigned int size) {
    switch (device->number) {
        case 0: return copy(to, size, "GPU-00000000-aaaa");
        case 1: return copy(to, size, "GPU-11111111-bbbb");
        case 20: return copy(to, size, "MIG-22222222-0000");
        case 21: return copy(to, size, "MIG-22222222-1111");
        default: return copy(to, size, "GPU-22222222-cccc");
    }
}

int nvmlDeviceGetName(Device *device, char *to, unsigned int size) {
    switch (device->number) {
        case 0: return copy(to, size, "NVIDIA H200");
        case 20: return copy(to, size, "NVIDIA A100 MIG 3g.20gb");
        case 21: return NOT_SUPPORTED;
        default: return copy(to, size, "NVIDIA A100");
    }
}

int nvmlDeviceGetMemoryInfo_v2(Device *device, Memory2 *memory) {
    if (told("FAKE_NVML_OLD", 0)) return INVALID;
    if (device->number == 1) return NOT_SUPPORTED;
    memory->total = 100 * GIB;
    memory->reserved = 2 * GIB;
    memory->used = 30 * GIB;
    memory->free = 68 * GIB;
    return OK;
}

int nvmlDeviceGetMemoryInfo(Device *device, Memory *memory) {
    if (device->number == 1) return NOT_SUPPORTED;
    memory->total = 100 * GIB;
    memory->used = 32 * GIB; /* the first version counts what is reserved as used */
    memory->free = 68 * GIB;
    return OK;
}

int nvmlDeviceGetUtilizationRates(Device *device, Utilization *rates) {
    if (device->number == 1) return NOT_SUPPORTED;
    rates->gpu = 37;
    rates->memory = 5;
    return OK;
}

int nvmlDeviceGetTemperature(Device *device, int sensor, unsigned int *degrees) {
    if (device->number == 1) return NOT_SUPPORTED;
    *degrees = 61;
    return OK;
}

int nvmlDeviceGetPowerUsage(Device *device, unsigned int *milliwatts) {
    if (device->number == 1) return NOT_SUPPORTED;
    *milliwatts = 412345;
    return OK;
}

int nvmlDeviceGetCudaComputeCapability(Device *device, int *major, int *minor) {
    *major = 9;
    *minor = 0;
    return OK;
}

int nvmlDeviceGetMigMode(Device *device, unsigned int *current, unsigned int *pending) {
    if (device->number == 0) return NOT_SUPPORTED;
    *current = *pending = device->number == 2;
    return OK;
}

int nvmlDeviceGetMaxMigDeviceCount(Device *device, unsigned int *count) { *count = 7; return OK; }

int nvmlDeviceGetMigDeviceHandleByIndex(Device *device, unsigned int index, Device **slice) {
    if (index > 1) return 6; /* not found */
    *slice = &devices[4 + index];
    return OK;
}

typedef struct { unsigned int pid; unsigned long long used; unsigned int gpu_slice, compute_slice; } Process;

int nvmlDeviceGetComputeRunningProcesses_v3(Device *device, unsigned int *count, Process *found) {
    unsigned int pid = told("FAKE_NVML_PID", 0), room = *count;
    if (device->number == 1) return NOT_SUPPORTED;
    *count = pid && device->number == 0;
    if (*count == 0) return OK;
    if (room == 0) return 7; /* insufficient size */
    found[0].pid = pid;
    found[0].used = 3 * GIB;
    return OK;
}
