// SPDX-License-Identifier: GPL-3.0-or-later
// PyTorch files built in memory by tests: pickles put together operation by operation, and the files around them.
#pragma once

#include "tests/support/zip_files.h"

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace quantloupe::tests::pickle {

inline std::string text(std::string_view value)
{
    return "X" + raw(static_cast<std::uint32_t>(value.size())).append(value);
}

inline std::string integer(std::int64_t value)
{
    if (value >= INT32_MIN && value <= INT32_MAX)
        return "J" + raw(static_cast<std::int32_t>(value));
    return "\x8a\x08" + raw(value);
}

inline std::string global(std::string_view module, std::string_view name)
{
    return std::string("c").append(module).append("\n").append(name).append("\n");
}

inline std::string tuple(const std::string& items)
{
    return "(" + items + "t";
}

inline std::string integers(const std::vector<std::int64_t>& values)
{
    std::string items;
    for (const auto value : values)
        items += integer(value);
    return tuple(items);
}

/// Calls a function with arguments.
inline std::string call(std::string_view module, std::string_view name, const std::string& arguments)
{
    return global(module, name) + tuple(arguments) + "R";
}

/// {key: value, …} of texts and what is pickled already.
inline std::string dictionary(const std::vector<std::pair<std::string, std::string>>& items)
{
    std::string bytes = "}(";
    for (const auto& [key, value] : items)
        bytes += text(key) + value;
    return bytes + "u";
}

inline std::string file(const std::string& operations)
{
    return "\x80\x02" + operations + ".";
}

inline std::string storage(
    std::string_view type, std::string_view key, std::int64_t elements, const std::string& view = {})
{
    const auto dot = type.rfind('.');
    const bool qualified = dot != std::string_view::npos;
    return tuple(text("storage")
               + global(qualified ? type.substr(0, dot) : "torch", qualified ? type.substr(dot + 1) : type) + text(key)
               + text("cuda:0") + integer(elements) + view)
        + "Q";
}

inline std::string tensor(const std::string& storageId, std::int64_t begin, const std::vector<std::int64_t>& shape,
    const std::vector<std::int64_t>& strides)
{
    return call("torch._utils", "_rebuild_tensor_v2",
        storageId + integer(begin) + integers(shape) + integers(strides) + "\x89"
            + call("collections", "OrderedDict", ""));
}

}  // namespace quantloupe::tests::pickle

namespace quantloupe::tests {

/// A file of PyTorch: its pickle, and its storages in the order in which they lie.
struct TorchBuilder {
    std::string object;                                            ///< operations that make it
    std::vector<std::pair<std::string, std::string>> storages {};  ///< key, bytes
    std::vector<std::pair<std::string, std::string>> notes {{"byteorder", "little"}, {"version", "3\n"}};

    ZipBuilder archive() const
    {
        ZipBuilder zip;
        zip.alignment = 64;
        zip.wideEnd = true;
        zip.store("archive/data.pkl", pickle::file(object));
        for (const auto& [name, content] : notes)
            zip.store("archive/" + name, content);
        for (const auto& [key, bytes] : storages)
            zip.store("archive/data/" + key, bytes);
        return zip;
    }

    /// As written before version 1.6; `width` is that of the elements.
    std::string stream(std::size_t width) const
    {
        auto bytes = std::string("\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.", 15);
        bytes += pickle::file("M" + raw(std::uint16_t {1001}));
        bytes += pickle::file(pickle::dictionary({{"protocol_version", "M" + raw(std::uint16_t {1001})},
            {"little_endian", "\x88"}, {"type_sizes", pickle::dictionary({{"int", pickle::integer(4)}})}}));
        bytes += pickle::file(object);
        std::string keys = "](";
        for (const auto& storage : storages)
            keys += pickle::text(storage.first);
        bytes += pickle::file(keys + "e");
        for (const auto& storage : storages)
            bytes += raw(std::uint64_t {storage.second.size() / width}) + storage.second;
        return bytes;
    }
};

}  // namespace quantloupe::tests
