// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/cli/session.h"

#include "core/base/glob.h"

#include <tbb/global_control.h>
#include <tbb/task_arena.h>

#include <algorithm>
#include <cstdio>

namespace quantloupe::cli {

unsigned Session::threads() const
{
    if (options.threads != 0)
        return options.threads;
    return static_cast<unsigned>(tbb::this_task_arena::max_concurrency());
}

bool Session::wants(const std::string& tensor) const
{
    return options.tensors.empty()
        || std::any_of(options.tensors.begin(), options.tensors.end(),
            [&](const std::string& pattern) { return globMatches(pattern, tensor); });
}

void Session::warn(const std::string& text) const
{
    if (!options.quiet)
        std::fprintf(stderr, "quantloupe-cli: %s\n", text.c_str());
}

void Session::fallShort(const std::string& why)
{
    std::fprintf(stderr, "quantloupe-cli: %s\n", why.c_str());
    fellShort = true;
}

void addCommonOptions(CLI::App& command, CommonOptions& options, unsigned uses)
{
    const auto shownIf = [uses](unsigned flags) { return (uses & flags) != 0 ? "Options" : ""; };
    command.add_option("--study", options.study, "Study file (HDF5) to read and add to")
        ->type_name("FILE")
        ->group(shownIf(StudyOption));
    command.add_option("--out", options.out, "File to write")->type_name("FILE")->group(shownIf(OutOption));
    command.add_flag("--force", options.force, "Overwrite a file that exists")->group(shownIf(OutOption));
    command.add_option("--tensors", options.tensors, "Only tensors whose name matches; * crosses dots (repeatable)")
        ->type_name("GLOB")
        ->expected(1)
        ->take_all()
        ->group(shownIf(TensorsOption));
    command.add_option("--threads", options.threads, "Threads to compute with (default: all there are)")
        ->type_name("N")
        ->check(CLI::Range(1U, 1024U))
        ->group(shownIf(ThreadsOption));
    // No command built so far draws random numbers; scripts may say it all the same.
    command.add_option("--seed", options.seed, "Seed of random choices")->type_name("N")->group("");
    command.add_flag("--json", options.json, "Print the result as one JSON object, and nothing else");
    command.add_flag("--quiet", options.quiet, "Print no progress and no warnings");
}

int exitStatus(const Error& error)
{
    switch (error.code) {
    case ErrorCode::InvalidArgument: return Usage;
    case ErrorCode::CannotOpen:
    case ErrorCode::NotThisFormat:
    case ErrorCode::Truncated:
    case ErrorCode::Malformed:
    case ErrorCode::Unsupported:
    case ErrorCode::Conflict: return InvalidInput;
    case ErrorCode::Cancelled: return Interrupted;
    case ErrorCode::CannotWrite:
    case ErrorCode::Internal: return Failed;
    }
    return Failed;
}

tl::unexpected<Error> usageError(std::string where, std::string reason)
{
    return failure(ErrorCode::InvalidArgument, std::move(where), std::move(reason));
}

}  // namespace quantloupe::cli
