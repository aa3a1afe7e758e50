// SPDX-License-Identifier: GPL-3.0-or-later
// What every command gets: the options that all have, the request to stop, and where bundled data lies.
#pragma once

#include "core/base/error.h"

#include <CLI/CLI.hpp>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <stop_token>
#include <string>
#include <vector>

namespace quantloupe::cli {

/// Exit statuses of the contract.
enum ExitStatus : int { Done = 0, Failed = 1, Usage = 2, InvalidInput = 3, Interrupted = 130 };

struct CommonOptions {
    std::filesystem::path study;       ///< empty: none
    std::filesystem::path out;         ///< empty: standard output only
    std::vector<std::string> tensors;  ///< globs; empty: all
    unsigned threads = 0;              ///< 0: all the process may use
    std::uint64_t seed = 0;
    bool json = false;
    bool quiet = false;
    bool force = false;
};

struct Session {
    CommonOptions options;
    std::stop_token stop;
    std::string executable;
    bool fellShort = false;  ///< status 1, though nothing went wrong

    /// Threads that computing may use.
    unsigned threads() const;
    /// Whether one of the --tensors globs matches, or none was given.
    bool wants(const std::string& tensor) const;
    /// One line on standard error, unless --quiet.
    void warn(const std::string& text) const;
    /// What was found is presented, but is not what was asked for: says so even with --quiet, and ends with status 1.
    void fallShort(const std::string& why);
};

using Action = std::function<Result<void>(Session&)>;

/// Which common options mean something to a command. All are accepted everywhere; help shows those that do something.
enum CommonOption : unsigned { StudyOption = 1, OutOption = 2, TensorsOption = 4, ThreadsOption = 8 };

/// One row of the command table. `setUp` declares the command's options and returns what it does.
struct Command {
    const char* name;
    const char* summary;
    unsigned uses;  ///< CommonOption flags
    Action (*setUp)(CLI::App& command);
};

/// Declares the options that all commands share, hiding from help those that are not in `uses`.
void addCommonOptions(CLI::App& command, CommonOptions& options, unsigned uses);

/// Which exit status an error means.
int exitStatus(const Error& error);

/// A wish that cannot be met: ends with status 2.
tl::unexpected<Error> usageError(std::string where, std::string reason);

}  // namespace quantloupe::cli
