// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/tensor/tensor_view.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace quantloupe {

enum class PickleKind : std::uint8_t {
    None,
    Boolean,
    Integer,
    WideInteger,  ///< beyond 64 bits: its bytes as a text
    Real,
    Text,  ///< also Python's bytes
    Tuple,
    List,
    Mapping,       ///< items are keys and values in turn
    ScriptObject,  ///< of a TorchScript class: items as of a mapping once its state is set
    Global,
    Storage,
    Tensor,
    ForeignTensor,  ///< quantized, sparse, without bytes: a tensor that is not read
    Opaque,         ///< something that is of no interest here
};

using PickleRef = std::uint32_t;  ///< of a value

/// One value of a pickle. Small: hostile files make millions of a few bytes each.
struct PickleValue {
    PickleKind kind = PickleKind::None;
    std::uint32_t size = 0;   ///< bytes of a text, items of a container
    std::uint32_t first = 0;  ///< of the items' chain
    std::uint32_t last = 0;
    std::int64_t number = 0;  ///< a number; place of a text; index of a global, storage or tensor
};

/// Where a tensor's elements lie, as a persistent id says.
struct PickledStorage {
    std::string_view key;
    std::optional<DType> dtype {};  ///< absent: counted in bytes
    bool foreign = false;           ///< of a type that is not read
    std::uint64_t elements = 0;     ///< of the whole storage
    std::uint64_t begin = 0;        ///< of a view of it, in elements
    std::uint64_t viewed = 0;       ///< elements of the view
};

struct PickledTensor {
    std::uint32_t storage = 0;  ///< into PickleHeap::storages
    DType dtype = DType::F32;
    std::uint64_t begin = 0;  ///< first element, from that of the storage
    Shape shape {};
    std::vector<std::uint64_t> strides {};
    std::uint64_t place = 0;  ///< byte of the file that makes it
};

/// All values of one pickle, numbered; containers hold numbers, so that cycles and depth do no harm.
class PickleHeap
{
public:
    explicit PickleHeap(Bytes source)
        : m_source(source)
    {
    }

    const PickleValue& operator[](PickleRef value) const { return m_values[value]; }
    std::size_t size() const { return m_values.size(); }

    PickleRef add(PickleValue value)
    {
        m_values.push_back(value);
        return static_cast<PickleRef>(m_values.size() - 1);
    }

    void append(PickleRef container, PickleRef item)
    {
        m_cells.push_back({item, 0});
        const auto cell = static_cast<std::uint32_t>(m_cells.size() - 1);
        auto& value = m_values[container];
        if (value.size++ == 0)
            value.first = cell;
        else
            m_cells[value.last].next = cell;
        value.last = cell;
    }

    /// Takes over the items of another container, which then both have.
    void share(PickleRef container, PickleRef from)
    {
        auto& value = m_values[container];
        value.size = m_values[from].size;
        value.first = m_values[from].first;
        value.last = m_values[from].last;
    }

    std::vector<PickleRef> items(PickleRef container) const
    {
        const auto& value = m_values[container];
        std::vector<PickleRef> all;
        all.reserve(value.size);
        for (auto cell = value.first; all.size() < value.size; cell = m_cells[cell].next)
            all.push_back(m_cells[cell].item);
        return all;
    }

    /// @pre kind Text or WideInteger
    std::string_view text(PickleRef value) const
    {
        const auto& found = m_values[value];
        return {reinterpret_cast<const char*>(m_source.data()) + found.number, found.size};
    }

    std::vector<PickledStorage> storages {};
    std::vector<PickledTensor> tensors {};

private:
    struct Cell {
        PickleRef item, next;
    };
    Bytes m_source;
    std::vector<PickleValue> m_values;
    std::vector<Cell> m_cells;
};

}  // namespace quantloupe
