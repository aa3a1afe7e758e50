// SPDX-License-Identifier: GPL-3.0-or-later
// TensorFlow Lite files by hand: one graph, one tensor (or references to it), one operator that uses it.
#pragma once

#include "tests/support/file_bytes.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace quantloupe::tests {

template<class Number>
std::string numbers(const std::vector<Number>& list)
{
    std::string all;
    for (const auto one : list)
        all += raw(one);
    return all;
}

/// A FlatBuffer written from front to back: what is referred to comes after what refers to it.
struct FlatBuilder {
    std::string file;

    std::uint32_t end() const { return static_cast<std::uint32_t>(file.size()); }
    void refer(std::uint32_t place, std::uint32_t to) { file.replace(place, 4, raw(to - place)); }
    /// A table of `fields` references or numbers of four bytes each; returns where it begins.
    std::uint32_t table(unsigned fields)
    {
        const auto list = end();
        file += raw(static_cast<std::uint16_t>(4 + 2 * fields)) + raw(static_cast<std::uint16_t>(4 + 4 * fields));
        for (unsigned i = 0; i < fields; ++i)
            file += raw(static_cast<std::uint16_t>(4 + 4 * i));
        const auto start = end();
        file += raw(static_cast<std::int32_t>(start - list));
        file.append(std::size_t {4} * fields, '\0');
        return start;
    }
    static std::uint32_t field(std::uint32_t table, unsigned number) { return table + 4 + 4 * number; }
    void set(std::uint32_t table, unsigned number, std::uint32_t value)
    {
        file.replace(field(table, number), 4, raw(value));
    }
    /// A vector that a field refers to; returns where its first element is.
    std::uint32_t vector(std::uint32_t table, unsigned number, std::uint32_t count, std::string_view content)
    {
        refer(field(table, number), end());
        file += raw(count);
        const auto first = end();
        file += content;
        return first;
    }
};

struct TfliteFile {
    std::vector<std::int32_t> extents {2, 3};
    std::uint32_t type = 9;  ///< TensorType: INT8
    std::uint32_t buffer = 1;
    std::string data = "\1\2\3\4\5\6";
    std::string name = "w";
    std::vector<float> scales {0.5F};
    std::vector<std::int64_t> zeroPoints {3};
    std::uint32_t axis = 0;
    std::uint32_t code = 9;    ///< BuiltinOperator: FULLY_CONNECTED
    std::uint32_t copies = 1;  ///< references to the tensor
    std::uint32_t operatorIndex = 0;

    std::string bytes() const
    {
        FlatBuilder out {raw(std::uint32_t {0}) + "TFL3"};
        const auto root = out.table(5);
        out.refer(0, root);
        const auto operators = out.vector(root, 1, 1, std::string(4, '\0'));
        const auto graphs = out.vector(root, 2, 1, std::string(4, '\0'));
        out.vector(root, 3, 0, "");
        const auto buffers = out.vector(root, 4, 2, std::string(8, '\0'));
        const auto operatorCode = out.table(1);
        out.set(operatorCode, 0, code);
        out.refer(operators, operatorCode);
        const auto graph = out.table(4);
        out.refer(graphs, graph);
        const auto empty = out.table(1), full = out.table(1);
        out.refer(buffers, empty);
        out.refer(buffers + 4, full);
        out.vector(full, 0, static_cast<std::uint32_t>(data.size()), data);
        const auto tensors = out.vector(graph, 0, copies, std::string(std::size_t {4} * copies, '\0'));
        const auto nodes = out.vector(graph, 3, 1, std::string(4, '\0'));
        const auto tensor = out.table(5);
        for (std::uint32_t i = 0; i < copies; ++i)
            out.refer(tensors + 4 * i, tensor);
        out.vector(tensor, 0, static_cast<std::uint32_t>(extents.size()), numbers(extents));
        out.set(tensor, 1, type);
        out.set(tensor, 2, buffer);
        out.vector(tensor, 3, static_cast<std::uint32_t>(name.size()), name);
        const auto quantization = out.table(7);
        out.refer(FlatBuilder::field(tensor, 4), quantization);
        for (const unsigned unused : {0U, 1U, 4U, 5U})
            out.vector(quantization, unused, 0, "");
        out.vector(quantization, 2, static_cast<std::uint32_t>(scales.size()), numbers(scales));
        out.vector(quantization, 3, static_cast<std::uint32_t>(zeroPoints.size()), numbers(zeroPoints));
        out.set(quantization, 6, axis);
        const auto node = out.table(2);
        out.set(node, 0, operatorIndex);
        out.refer(nodes, node);
        out.vector(node, 1, 2, raw(-1) + raw(0));
        return out.file;
    }
};

}  // namespace quantloupe::tests
