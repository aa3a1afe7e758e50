// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/base/text.h"

#include <algorithm>

namespace quantloupe {
namespace {

/// Length of the well-formed character at the start of `text`; 0 when it is malformed.
/// Source: Unicode standard, table 3-7. @pre !text.empty()
std::size_t characterLength(std::string_view text)
{
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
    const auto follows = [&](std::size_t i, unsigned low = 0x80, unsigned high = 0xBF) {
        return i < text.size() && byte(i) >= low && byte(i) <= high;
    };
    const unsigned first = byte(0);
    if (first < 0x80)
        return 1;
    if (first < 0xC2)
        return 0;
    if (first < 0xE0)
        return follows(1) ? 2 : 0;
    if (first < 0xF0)
        return follows(1, first == 0xE0 ? 0xA0 : 0x80, first == 0xED ? 0x9F : 0xBF) && follows(2) ? 3 : 0;
    if (first < 0xF5)
        return follows(1, first == 0xF0 ? 0x90 : 0x80, first == 0xF4 ? 0x8F : 0xBF) && follows(2) && follows(3) ? 4 : 0;
    return 0;
}

}  // namespace

std::size_t wellFormedLength(std::string_view text)
{
    const auto size = text.size();
    while (!text.empty()) {
        const auto length = characterLength(text);
        if (length == 0)
            break;
        text.remove_prefix(length);
    }
    return size - text.size();
}

bool isValidUtf8(std::string_view text)
{
    return wellFormedLength(text) == text.size();
}

std::string toValidUtf8(std::string_view text)
{
    std::string out;
    out.reserve(text.size());
    while (!text.empty()) {
        const auto length = characterLength(text);
        if (length == 0)
            out += "\xEF\xBF\xBD";
        else
            out += text.substr(0, length);
        text.remove_prefix(std::max<std::size_t>(length, 1));
    }
    return out;
}

std::string shortened(std::string_view text, std::size_t limit)
{
    // One character more than the limit may be needed to see that a cut happened: never convert a huge text as a whole.
    auto out = toValidUtf8(text.substr(0, limit + 4));
    if (out.size() <= limit && text.size() <= limit + 4)
        return out;
    std::size_t end = std::min(limit, out.size());
    while (end > 0 && end < out.size() && (static_cast<unsigned char>(out[end]) & 0xC0U) == 0x80U)
        --end;
    out.resize(end);
    out += "…";
    return out;
}

std::string inQuotes(std::string_view name)
{
    std::string out(1, '\'');
    out += shortened(name, 120);
    out += '\'';
    return out;
}

}  // namespace quantloupe
