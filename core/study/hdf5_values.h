// SPDX-License-Identifier: GPL-3.0-or-later
// Reading and writing the few kinds of values a study holds: numbers and texts, one by one or in arrays.
#pragma once

#include "core/base/error.h"
#include "core/study/hdf5_handles.h"

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

namespace quantloupe::hdf5 {

template<class T>
hid_t memoryType()
{
    if constexpr (std::is_same_v<T, double>)
        return H5T_NATIVE_DOUBLE;
    else if constexpr (std::is_same_v<T, float>)
        return H5T_NATIVE_FLOAT;
    else if constexpr (std::is_same_v<T, std::uint64_t>)
        return H5T_NATIVE_UINT64;
    else if constexpr (std::is_same_v<T, std::int64_t>)
        return H5T_NATIVE_INT64;
    else if constexpr (std::is_same_v<T, std::uint32_t>)
        return H5T_NATIVE_UINT32;
    else {
        static_assert(std::is_same_v<T, std::uint8_t>);
        return H5T_NATIVE_UINT8;
    }
}

/// What a dataset means, written beside it as attributes `unit` and `meaning`.
struct Meaning {
    const char* unit = "";
    const char* text = "";
};

/// Writes into one group. The first failure is kept and stops everything after it.
class GroupWriter
{
public:
    /// Creates the group; the root is there already.
    GroupWriter(hid_t parent, const char* path);

    void attribute(const char* name, const std::string& text);
    void attribute(const char* name, std::uint64_t number);
    void texts(const char* name, const std::vector<std::string>& values, Meaning meaning);
    template<class T>
    void numbers(const char* name, std::span<const T> values, Meaning meaning)
    {
        write(name, memoryType<T>(), values.data(), {values.size()}, meaning);
    }
    /// Row-major, rows × columns. @pre values.size() == rows × columns
    template<class T>
    void table(const char* name, std::span<const T> values, std::size_t rows, std::size_t columns, Meaning meaning)
    {
        write(name, memoryType<T>(), values.data(), {rows, columns}, meaning);
    }
    hid_t id() const { return m_group.id(); }
    bool good() const { return m_good; }

private:
    void write(const char* name, hid_t type, const void* data, std::vector<hsize_t> extents, Meaning meaning);
    Group m_group;
    bool m_good = true;
};

/// Reads from one group of a file that nobody vouches for. Everything must be a plain, contiguous dataset of the
/// expected kind whose stated size the file really holds, so nothing is allocated that is not there. The first failure
/// is kept.
class GroupReader
{
public:
    /// `place` names the group in messages, e.g. "/results". `fileBytes` bounds every allocation.
    GroupReader(hid_t parent, std::string place, std::uint64_t fileBytes);

    bool hasAttribute(const char* name) const;
    bool hasDataset(const char* name) const;
    std::string textAttribute(const char* name);
    std::uint64_t numberAttribute(const char* name);
    std::vector<std::string> texts(const char* name);
    template<class T>
    std::vector<T> numbers(const char* name)
    {
        std::vector<hsize_t> extents;
        return read<T>(name, 1, extents);
    }
    /// Row-major; `columns` is set to the second extent. Exactly `rows` rows, or it fails.
    template<class T>
    std::vector<T> table(const char* name, std::size_t rows, std::size_t& columns)
    {
        std::vector<hsize_t> extents;
        auto values = read<T>(name, 2, extents);
        if (good() && extents[0] != rows)
            fail(name, "has another number of rows than there are results");
        columns = good() ? static_cast<std::size_t>(extents[1]) : 0;
        return values;
    }
    void fail(const std::string& name, const std::string& reason);
    bool good() const { return !m_problem; }
    /// "/results/mse: is not a contiguous dataset of numbers"; empty when nothing failed.
    std::string problem() const { return m_problem.value_or(""); }
    hid_t id() const { return m_group.id(); }

private:
    /// Opens and checks; the number of elements, and the file's own type in `type`.
    std::optional<std::uint64_t> open(
        const char* name, int rank, H5T_class_t kind, Dataset& dataset, Type& type, std::vector<hsize_t>& extents);
    bool readInto(const Dataset& dataset, hid_t type, void* target, const char* name);

    template<class T>
    std::vector<T> read(const char* name, int rank, std::vector<hsize_t>& extents)
    {
        Dataset dataset;
        Type type;
        const auto count = open(name, rank, std::is_integral_v<T> ? H5T_INTEGER : H5T_FLOAT, dataset, type, extents);
        if (!count)
            return {};
        // An exact type match: no conversion can change a bit, and the stored size is the allocated one.
        if (H5Tequal(type.id(), memoryType<T>()) <= 0) {
            fail(name, "has another number type than the schema says");
            return {};
        }
        std::vector<T> values(static_cast<std::size_t>(*count));
        if (!readInto(dataset, memoryType<T>(), values.data(), name))
            return {};
        return values;
    }

    std::string m_place;
    std::uint64_t m_fileBytes = 0;
    Group m_group;
    std::optional<std::string> m_problem;
};

}  // namespace quantloupe::hdf5
