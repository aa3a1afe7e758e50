// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/cli/output.h"

#include "core/base/atomic_file.h"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstring>

namespace quantloupe::cli {
namespace {

/// Names in a file need not be UTF-8: what is malformed is replaced rather than refused.
std::string dump(const Json& json)
{
    return json.dump(2, ' ', false, Json::error_handler_t::replace) + '\n';
}

}  // namespace

Json number(double value)
{
    return std::isfinite(value) ? Json(value) : Json(nullptr);
}

Result<void> requireWritable(const Session& session, const std::vector<std::string>& suffixes)
{
    const auto& out = session.options.out;
    if (out.empty())
        return {};
    if (!suffixes.empty() && std::find(suffixes.begin(), suffixes.end(), out.extension()) == suffixes.end()) {
        std::string allowed;
        for (const auto& suffix : suffixes)
            allowed += (allowed.empty() ? "" : ", ") + suffix;
        return usageError("--out " + out.string(), "the suffix must be one of " + allowed);
    }
    std::error_code ignored;
    if (std::filesystem::is_directory(out, ignored))
        return usageError("--out " + out.string(), "is a folder");
    if (!session.options.force && std::filesystem::exists(out, ignored))
        return usageError("--out " + out.string(), "the file exists; --force overwrites it");
    return {};
}

Result<void> print(const Session& session, const Json& json, const std::string& text)
{
    const auto content = session.options.json ? dump(json) : text;
    if (std::fwrite(content.data(), 1, content.size(), stdout) != content.size() || std::fflush(stdout) != 0)
        return failure(ErrorCode::CannotWrite, "standard output", std::strerror(errno));
    return {};
}

Result<void> present(const Session& session, const Findings& findings)
{
    const auto& out = session.options.out;
    if (!out.empty()) {
        if (auto writable = requireWritable(session, {".json", ".csv"}); !writable)
            return writable;
        const auto content = out.extension() == ".json" ? dump(findings.json) : findings.table.csv();
        if (auto written = writeFileAtomically(out, content); !written)
            return written;
    }
    return print(session, findings.json, findings.text);
}

}  // namespace quantloupe::cli
