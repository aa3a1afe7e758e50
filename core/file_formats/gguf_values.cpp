// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/file_formats/gguf_values.h"

#include "core/base/text.h"

#include <algorithm>
#include <array>
#include <charconv>

namespace quantloupe {
namespace {

constexpr std::uint64_t kMaxText = std::uint64_t {64} << 20U;
constexpr std::uint64_t kMaxElements = std::uint64_t {64} << 20U;
constexpr std::size_t kShownText = 200;
constexpr std::uint64_t kShownElements = 4;

struct TypeRow {
    std::string_view name;
    unsigned bytes;  ///< of a value; 0 where the length varies
};
constexpr std::array<TypeRow, 13> kValueTypes {{{"u8", 1}, {"i8", 1}, {"u16", 2}, {"i16", 2}, {"u32", 4}, {"i32", 4},
    {"f32", 4}, {"bool", 1}, {"text", 0}, {"array", 0}, {"u64", 8}, {"i64", 8}, {"f64", 8}}};

const TypeRow& rowOf(GgufType type)
{
    return kValueTypes[static_cast<std::size_t>(type)];
}

/// Collects what every failure here has in common.
struct Refusal {
    const std::string& where;
    std::string_view key;

    tl::unexpected<Error> operator()(ErrorCode code, std::uint64_t offset, const std::string& what) const
    {
        return failure(code, where, "metadata key " + inQuotes(key) + ": " + what, offset);
    }
    tl::unexpected<Error> truncated(std::uint64_t offset) const
    {
        return (*this)(ErrorCode::Truncated, offset, "the file ends inside its value");
    }
};

Result<GgufType> readType(ByteCursor& cursor, const Refusal& refuse)
{
    const auto offset = cursor.offset();
    const auto number = cursor.read<std::uint32_t>();
    if (!number)
        return refuse.truncated(offset);
    if (*number >= kValueTypes.size())
        return refuse(ErrorCode::Malformed, offset, "value type " + std::to_string(*number) + " does not exist");
    return static_cast<GgufType>(*number);
}

Result<Bytes> readText(ByteCursor& cursor, const Refusal& refuse)
{
    const auto offset = cursor.offset();
    const auto length = cursor.read<std::uint64_t>();
    if (!length)
        return refuse.truncated(offset);
    const auto remaining = cursor.remaining();
    const auto bytes = cursor.take(*length);
    if (!bytes) {
        return refuse(ErrorCode::Truncated, offset,
            "a text of " + std::to_string(*length) + " bytes, but only " + std::to_string(remaining) + " follow");
    }
    if (*length > kMaxText)
        return refuse(
            ErrorCode::Malformed, offset, "a text of " + std::to_string(*length) + " bytes, more than 64 MiB");
    return *bytes;
}

Result<void> requireBooleans(Bytes bytes, std::uint64_t offset, const Refusal& refuse)
{
    const auto wrong =
        std::find_if(bytes.begin(), bytes.end(), [](std::byte b) { return std::to_integer<int>(b) > 1; });
    if (wrong == bytes.end())
        return {};
    return refuse(ErrorCode::Malformed, offset + static_cast<std::uint64_t>(wrong - bytes.begin()),
        "a bool that is neither 0 nor 1");
}

Result<GgufValue> readArray(ByteCursor& cursor, const Refusal& refuse)
{
    const auto start = cursor.offset();
    const auto type = readType(cursor, refuse);
    if (!type)
        return tl::unexpected(type.error());
    if (*type == GgufType::Array)
        return refuse(ErrorCode::Malformed, start, "an array of arrays");
    const auto counted = cursor.offset();
    const auto count = cursor.read<std::uint64_t>();
    if (!count)
        return refuse.truncated(counted);
    const auto size = std::max(rowOf(*type).bytes, *type == GgufType::Text ? 8U : 1U);
    if (*count > cursor.remaining() / size) {
        return refuse(ErrorCode::Truncated, counted,
            "an array of " + std::to_string(*count) + " elements, but only " + std::to_string(cursor.remaining())
                + " bytes follow");
    }
    if (*count > kMaxElements)
        return refuse(
            ErrorCode::Malformed, counted, "an array of " + std::to_string(*count) + " elements, more than 64 Mi");

    GgufValue value {
        .type = GgufType::Array, .elementType = *type, .count = *count, .bytes = {}, .offset = cursor.offset()};
    auto elements = cursor;
    if (*type == GgufType::Text) {
        for (std::uint64_t i = 0; i < *count; ++i)
            if (auto text = readText(cursor, refuse); !text)
                return tl::unexpected(std::move(text.error()));
        value.bytes = *elements.take(cursor.offset() - value.offset);
        return value;
    }
    value.bytes = *cursor.take(*count * size);
    if (*type == GgufType::Bool)
        if (auto valid = requireBooleans(value.bytes, value.offset, refuse); !valid)
            return tl::unexpected(std::move(valid.error()));
    return value;
}

template<class Number>
Number numberAt(Bytes bytes)
{
    return *ByteCursor(bytes).read<Number>();
}

template<class Number>
std::string shown(Bytes bytes)
{
    // to_chars() gives the shortest form that reads back the same, as a person would write the number.
    std::array<char, 40> buffer;
    const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), numberAt<Number>(bytes)).ptr;
    return {buffer.data(), end};
}

std::string displayedScalar(GgufType type, Bytes bytes)
{
    switch (type) {
    case GgufType::U8: return shown<std::uint8_t>(bytes);
    case GgufType::I8: return shown<std::int8_t>(bytes);
    case GgufType::U16: return shown<std::uint16_t>(bytes);
    case GgufType::I16: return shown<std::int16_t>(bytes);
    case GgufType::U32: return shown<std::uint32_t>(bytes);
    case GgufType::I32: return shown<std::int32_t>(bytes);
    case GgufType::U64: return shown<std::uint64_t>(bytes);
    case GgufType::I64: return shown<std::int64_t>(bytes);
    case GgufType::F32: return shown<float>(bytes);
    case GgufType::F64: return shown<double>(bytes);
    case GgufType::Bool: return bytes[0] == std::byte {0} ? "false" : "true";
    case GgufType::Text:
    case GgufType::Array: break;
    }
    return shortened({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, kShownText);
}

std::optional<std::uint64_t> wholeNumber(GgufType type, Bytes bytes)
{
    const auto unlessNegative = [](std::int64_t number) {
        return number < 0 ? std::nullopt : std::optional(static_cast<std::uint64_t>(number));
    };
    switch (type) {
    case GgufType::U8: return numberAt<std::uint8_t>(bytes);
    case GgufType::U16: return numberAt<std::uint16_t>(bytes);
    case GgufType::U32: return numberAt<std::uint32_t>(bytes);
    case GgufType::U64: return numberAt<std::uint64_t>(bytes);
    case GgufType::I8: return unlessNegative(numberAt<std::int8_t>(bytes));
    case GgufType::I16: return unlessNegative(numberAt<std::int16_t>(bytes));
    case GgufType::I32: return unlessNegative(numberAt<std::int32_t>(bytes));
    case GgufType::I64: return unlessNegative(numberAt<std::int64_t>(bytes));
    default: return std::nullopt;
    }
}

}  // namespace

Result<GgufValue> readGgufValue(ByteCursor& cursor, const std::string& where, std::string_view key)
{
    const Refusal refuse {where, key};
    const auto type = readType(cursor, refuse);
    if (!type)
        return tl::unexpected(type.error());
    if (*type == GgufType::Array)
        return readArray(cursor, refuse);
    GgufValue value {.type = *type, .bytes = {}};
    if (*type == GgufType::Text) {
        const auto text = readText(cursor, refuse);
        if (!text)
            return tl::unexpected(text.error());
        value.bytes = *text;
        value.offset = cursor.offset() - text->size();
        return value;
    }
    value.offset = cursor.offset();
    const auto bytes = cursor.take(rowOf(*type).bytes);
    if (!bytes)
        return refuse.truncated(value.offset);
    value.bytes = *bytes;
    if (*type == GgufType::Bool)
        if (auto valid = requireBooleans(*bytes, value.offset, refuse); !valid)
            return tl::unexpected(std::move(valid.error()));
    return value;
}

std::optional<std::uint64_t> wholeNumber(const GgufValue& value)
{
    return wholeNumber(value.type, value.bytes);
}

std::optional<double> realNumber(const GgufValue& value)
{
    if (value.type == GgufType::F32)
        return double {numberAt<float>(value.bytes)};
    if (value.type == GgufType::F64)
        return numberAt<double>(value.bytes);
    const auto whole = wholeNumber(value);
    return whole ? std::optional(static_cast<double>(*whole)) : std::nullopt;
}

std::optional<std::uint64_t> largestNumber(const GgufValue& value)
{
    if (value.type != GgufType::Array)
        return wholeNumber(value);
    const auto size = rowOf(value.elementType).bytes;
    std::optional<std::uint64_t> largest;
    for (std::uint64_t i = 0; size > 0 && i < value.count; ++i)
        if (const auto number = wholeNumber(value.elementType, value.bytes.subspan(i * size, size)))
            largest = std::max(largest.value_or(0), *number);
    return largest;
}

std::optional<std::string_view> textOf(const GgufValue& value)
{
    if (value.type != GgufType::Text)
        return std::nullopt;
    return std::string_view(reinterpret_cast<const char*>(value.bytes.data()), value.bytes.size());
}

std::string displayed(const GgufValue& value)
{
    if (value.type != GgufType::Array)
        return displayedScalar(value.type, value.bytes);
    std::string text(rowOf(value.elementType).name);
    text.append("[").append(std::to_string(value.count)).append("]");
    ByteCursor cursor(value.bytes);
    for (std::uint64_t i = 0; i < std::min(value.count, kShownElements); ++i) {
        text += i == 0 ? ": " : ", ";
        const auto size = rowOf(value.elementType).bytes;
        const auto length = size > 0 ? size : *cursor.read<std::uint64_t>();
        text += shortened(displayedScalar(value.elementType, *cursor.take(length)), kShownText / kShownElements);
    }
    return value.count > kShownElements ? text.append(", …") : text;
}

}  // namespace quantloupe
