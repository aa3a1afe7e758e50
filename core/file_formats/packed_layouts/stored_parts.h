// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/base/error.h"
#include "core/model/model.h"

#include <initializer_list>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace quantloupe {

/// Tensors of a model by name.
using TensorIndex = std::unordered_map<std::string_view, std::size_t>;

/// The stored tensors of one module, found by the ends of their names. Remembers which of them were taken.
class StoredParts
{
public:
    /// `codes`: the tensor that holds the codes; its name without `suffix` is that of the module.
    StoredParts(const Model& model, const TensorIndex& index, std::size_t codes, std::string_view suffix);

    const std::string& module() const { return m_module; }
    const TensorView& codes() const { return view(m_taken.front()); }
    /// Whether the codes lie in the file as their dtype and shape say.
    bool codesArePlain() const { return isPlain(codes()); }

    /// Whether the module has such a tensor; it is not taken.
    bool has(std::string_view suffix) const { return locate(suffix) != nullptr; }
    /// Such a tensor without taking it; nullptr when there is none.
    const TensorView* peek(std::string_view suffix) const;
    /// The same, taken: a part of the weight. Errors: Malformed, Unsupported (not plain bytes).
    Result<const TensorView*> take(std::string_view suffix);
    /// The same where the weight cannot do without it: never nullptr.
    Result<const TensorView*> need(std::string_view suffix);

    /// Of the tensor with this suffix (empty: of the codes), which must be there.
    tl::unexpected<Error> malformed(std::string_view suffix, const std::string& reason) const;
    tl::unexpected<Error> unsupported(const std::string& reason) const;

    /// Whether the codes are a matrix of 32-bit words.
    bool codesAreWords() const;

    /// Errors: Malformed.
    Result<void> expectShape(std::string_view suffix, const TensorView& part, const Shape& shape) const;
    Result<void> expectType(std::string_view suffix, const TensorView& part, std::initializer_list<DType> types) const;
    /// A floating-point type of at least 16 bits.
    Result<void> expectFloats(std::string_view suffix, const TensorView& part) const;

    /// Indices of the tensors taken, the codes first.
    const std::vector<std::size_t>& taken() const { return m_taken; }
    std::vector<TensorView> takenViews() const;
    std::uint64_t takenBytes() const;

private:
    static bool isPlain(const TensorView& view);
    const std::size_t* locate(std::string_view suffix) const;
    const TensorView& view(std::size_t tensor) const { return m_model->tensors[tensor].view; }
    tl::unexpected<Error> at(std::size_t tensor, ErrorCode code, const std::string& reason) const;

    const Model* m_model;
    const TensorIndex* m_index;
    std::string m_module;
    std::vector<std::size_t> m_taken;
};

/// "64×172" for messages.
std::string extentsText(const Shape& shape);

/// a / b, rounded up. @pre b > 0
constexpr std::uint64_t ceilDivide(std::uint64_t a, std::uint64_t b)
{
    return a / b + (a % b != 0 ? 1 : 0);
}

}  // namespace quantloupe
