// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/base/mapped_file.h"

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include <sys/types.h>

namespace quantloupe {

/// One record of a helper's answer.
struct HelperRecord {
    std::uint32_t kind = 0;
    Bytes bytes {};  ///< valid until the next one is asked for
};

/// What is put up with from a helper before it is killed.
struct HelperPatience {
    std::chrono::milliseconds work {};     ///< processor time it may use from one record to the next
    std::chrono::milliseconds silence {};  ///< time from one record to the next, however little it computes
    std::chrono::milliseconds whole {};    ///< time from start to end
    std::size_t recordBytes = 0;           ///< in one record
};

/// A program of ours that looks at bytes of unknown origin in our place, so that what breaks down on them is not us. It
/// is started anew (posix_spawn), which is safe while other threads run; it inherits the descriptor of its file, a pipe
/// and nothing else, and is to shut itself in by confineThisProcess(). Nothing it says is trusted: records are
/// bounded here, and their content is for the caller to check.
class HelperProcess
{
public:
    /// Starts `program`. `where` names the file it reads, in errors. `stop` kills it.
    /// Errors: CannotOpen (the program cannot be started; no more descriptors).
    static Result<HelperProcess> start(const std::filesystem::path& program, const std::vector<std::string>& arguments,
        const Descriptor& input, const HelperPatience& patience, std::string where, std::stop_token stop);

    HelperProcess(HelperProcess&& other) noexcept;
    HelperProcess& operator=(HelperProcess&&) = delete;
    /// Kills it unless it is gone.
    ~HelperProcess();

    /// Waits for the next record. Errors: Malformed (it broke down, ended, or used up the patience on this file),
    /// Cancelled.
    Result<HelperRecord> next();

private:
    using Clock = std::chrono::steady_clock;
    HelperProcess(
        pid_t process, Descriptor output, const HelperPatience& patience, std::string where, std::stop_token stop);
    Result<void> readExactly(std::byte* out, std::size_t size);
    Result<void> awaitOutput();
    std::chrono::nanoseconds processorTime() const;
    tl::unexpected<Error> ended();

    pid_t m_process;
    Descriptor m_output;
    HelperPatience m_patience;
    std::string m_where;
    std::stop_token m_stop;
    Clock::time_point m_started = Clock::now(), m_lastRecord = m_started;
    std::chrono::nanoseconds m_workBefore {0};  ///< processor time up to the last record
    std::vector<std::byte> m_record;
};

/// Where the helper of this name is: in the folder that QUANTLOUPE_HELPERS names, else beside the running program, in
/// ../libexec/quantloupe from there (an installed program), or where it was built. When the variable is set, only
/// there. Errors: CannotOpen, naming the places.
Result<std::filesystem::path> helperProgram(std::string_view name);

}  // namespace quantloupe
