// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/file_formats/onnx_messages.h"

namespace quantloupe {

const OnnxAttribute* OnnxNode::find(std::string_view attribute) const
{
    for (const auto& candidate : attributes)
        if (candidate.name == attribute)
            return &candidate;
    return nullptr;
}

Result<std::int64_t> onnxInteger(
    const WireFile& file, const OnnxNode& node, std::string_view attribute, std::int64_t otherwise)
{
    const auto* found = node.find(attribute);
    if (!found)
        return otherwise;
    auto value = otherwise;
    auto read = visitFields(file, found->message, [&](const WireField& field) -> Result<void> {
        if (field.number == 3)
            value = field.number64();
        return {};
    });
    if (!read)
        return tl::unexpected(std::move(read.error()));
    return value;
}

Result<std::vector<std::int64_t>> onnxIntegers(const WireFile& file, const OnnxNode& node, std::string_view attribute)
{
    constexpr std::size_t kMost = 64;  // axes and the like: as many as dimensions
    std::vector<std::int64_t> values;
    const auto* found = node.find(attribute);
    if (!found)
        return values;
    auto read = visitFields(file, found->message, [&](const WireField& field) -> Result<void> {
        if (field.number != 8)
            return {};
        if (field.type != WireField::Type::Delimited) {
            values.push_back(field.number64());
            return {};
        }
        for (auto rest = field.bytes; !rest.empty() && values.size() <= kMost;) {
            std::uint64_t value = 0;
            if (!takeVarint(rest, value))
                return file.malformed(rest, "a list of numbers without an end");
            values.push_back(static_cast<std::int64_t>(value));
        }
        return {};
    });
    if (!read)
        return tl::unexpected(std::move(read.error()));
    return values;
}

}  // namespace quantloupe
