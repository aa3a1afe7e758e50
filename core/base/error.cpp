// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/base/error.h"

#include <cstring>

namespace quantloupe {
namespace {

/// Names come from files: a control character must not reach a terminal.
std::string escaped(std::string_view text)
{
    static constexpr char kDigits[] = "0123456789abcdef";
    std::string out;
    out.reserve(text.size());
    for (const char character : text) {
        const auto byte = static_cast<unsigned char>(character);
        if (byte >= 0x20 && byte != 0x7f) {
            out += character;
        } else {
            out += "\\x";
            out += kDigits[byte >> 4U];
            out += kDigits[byte & 0xfU];
        }
    }
    return out;
}

}  // namespace

tl::unexpected<Error> systemFailure(ErrorCode code, const std::filesystem::path& path, int problem)
{
    return failure(code, path.string(), std::strerror(problem));
}

std::string describe(const Error& error)
{
    std::string text = escaped(error.where);
    if (error.offset) {
        if (!text.empty())
            text += ", ";
        text += "byte " + std::to_string(*error.offset);
    }
    if (!text.empty() && !error.reason.empty())
        text += ": ";
    text += escaped(error.reason);
    return text;
}

}  // namespace quantloupe
