// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/model/tensor_role.h"

#include <charconv>
#include <optional>
#include <string_view>
#include <vector>

namespace quantloupe {

/// The pieces of a tensor name between its dots.
inline std::vector<std::string_view> componentsOf(std::string_view name)
{
    std::vector<std::string_view> components;
    for (;;) {
        const auto dot = name.find('.');
        components.push_back(name.substr(0, dot));
        if (dot == std::string_view::npos)
            return components;
        name.remove_prefix(dot + 1);
    }
}

/// A block or expert number: decimal digits only, at most six.
inline std::optional<unsigned> indexIn(std::string_view component)
{
    unsigned value = 0;
    const auto* end = component.data() + component.size();
    if (component.empty() || component.size() > 6 || component.find_first_not_of("0123456789") != std::string_view::npos
        || std::from_chars(component.data(), end, value).ec != std::errc())
        return std::nullopt;
    return value;
}

/// The two worlds of readName().
bool isGgufName(const std::vector<std::string_view>& components);
NameParts readGgufName(const std::vector<std::string_view>& components);

}  // namespace quantloupe
