// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/base/confinement.h"

#include <cerrno>
#include <cstddef>
#include <vector>

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

namespace quantloupe {
namespace {

#if defined(__x86_64__)
constexpr std::uint32_t kMachine = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr std::uint32_t kMachine = AUDIT_ARCH_AARCH64;
#else
constexpr std::uint32_t kMachine = 0;
#endif

/// What reading a descriptor, computing and writing to a pipe takes. No kill or tgkill: they reach other processes.
constexpr std::uint32_t kAllowed[] = {
    SYS_read,
    SYS_pread64,
    SYS_readv,
    SYS_write,
    SYS_writev,
    SYS_lseek,
    SYS_fstat,
#ifdef SYS_newfstatat
    SYS_newfstatat,
#endif
    SYS_close,
    SYS_munmap,
    SYS_mremap,
    SYS_madvise,
    SYS_brk,
    SYS_futex,
    SYS_getpid,
    SYS_gettid,
    SYS_getrandom,
    SYS_clock_gettime,
    SYS_gettimeofday,
    SYS_sched_yield,
    SYS_rt_sigaction,
    SYS_rt_sigprocmask,
    SYS_rt_sigreturn,
    SYS_sigaltstack,
    SYS_restart_syscall,
    SYS_exit,
    SYS_exit_group,
};

/// Memory may be mapped, unless as code.
constexpr std::uint32_t kAllowedUnlessCode[] = {SYS_mmap, SYS_mprotect};

std::vector<sock_filter> filterOfCalls()
{
    const auto statement = [](unsigned code, std::uint32_t operand) {
        return sock_filter {static_cast<std::uint16_t>(code), 0, 0, operand};
    };
    const auto jump = [](unsigned code, std::uint32_t operand, std::uint8_t ifTrue, std::uint8_t ifFalse) {
        return sock_filter {static_cast<std::uint16_t>(BPF_JMP | BPF_K | code), ifTrue, ifFalse, operand};
    };
    const auto load = [&](std::size_t offset) {
        return statement(BPF_LD | BPF_W | BPF_ABS, static_cast<std::uint32_t>(offset));
    };
    const auto answer = [&](std::uint32_t action) { return statement(BPF_RET | BPF_K, action); };
    constexpr auto kRefuse = SECCOMP_RET_ERRNO | EPERM;
    constexpr std::size_t kProtection = 2;  // third argument of mmap and mprotect; both machines are little-endian

    std::vector<sock_filter> filter {load(offsetof(seccomp_data, arch)), jump(BPF_JEQ, kMachine, 1, 0),
        answer(SECCOMP_RET_KILL_PROCESS), load(offsetof(seccomp_data, nr))};
    for (const auto call : kAllowed)
        filter.insert(filter.end(), {jump(BPF_JEQ, call, 0, 1), answer(SECCOMP_RET_ALLOW)});
    for (const auto call : kAllowedUnlessCode) {
        filter.insert(filter.end(),
            {jump(BPF_JEQ, call, 0, 4), load(offsetof(seccomp_data, args) + kProtection * sizeof(std::uint64_t)),
                jump(BPF_JSET, PROT_EXEC, 1, 0), answer(SECCOMP_RET_ALLOW), answer(kRefuse)});
    }
    filter.push_back(answer(kRefuse));
    return filter;
}

int limit(decltype(RLIMIT_AS) resource, std::uint64_t most)
{
    const rlimit both {most, most};
    return ::setrlimit(resource, &both) == 0 ? 0 : errno;
}

}  // namespace

int confineThisProcess(const Confinement& confinement)
{
    for (const auto resource : {RLIMIT_CORE, RLIMIT_FSIZE, RLIMIT_NOFILE, RLIMIT_NPROC})
        if (const int problem = limit(resource, 0); problem != 0)
            return problem;
    if (const int problem = limit(RLIMIT_CPU, confinement.processorSeconds); problem != 0)
        return problem;
#ifndef QUANTLOUPE_SHADOW_MEMORY
    if (const int problem = limit(RLIMIT_AS, confinement.memory); problem != 0)
        return problem;
#endif
    ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    if constexpr (kMachine != 0) {
        auto filter = filterOfCalls();
        const sock_fprog program {static_cast<unsigned short>(filter.size()), filter.data()};
        if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0)
            ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0);
    }
    return 0;
}

}  // namespace quantloupe
