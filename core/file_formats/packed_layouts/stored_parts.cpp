// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/file_formats/packed_layouts/stored_parts.h"

#include "core/base/text.h"

#include <algorithm>

namespace quantloupe {

std::string extentsText(const Shape& shape)
{
    std::string text;
    for (const auto extent : shape)
        text += (text.empty() ? "" : "×") + std::to_string(extent);
    return text.empty() ? "scalar" : text;
}

StoredParts::StoredParts(const Model& model, const TensorIndex& index, std::size_t codes, std::string_view suffix)
    : m_model(&model)
    , m_index(&index)
    , m_module(model.tensors[codes].name.substr(0, model.tensors[codes].name.size() - suffix.size()))
    , m_taken {codes}
{
}

const std::size_t* StoredParts::locate(std::string_view suffix) const
{
    const auto found = m_index->find(m_module + std::string(suffix));
    return found == m_index->end() ? nullptr : &found->second;
}

const TensorView* StoredParts::peek(std::string_view suffix) const
{
    const auto* tensor = locate(suffix);
    return tensor ? &view(*tensor) : nullptr;
}

bool StoredParts::isPlain(const TensorView& view)
{
    return !view.decoder && !view.deferred
        && byteCount(view.elements(), view.dtype) == std::uint64_t {view.bytes.size()};
}

Result<const TensorView*> StoredParts::take(std::string_view suffix)
{
    const auto* tensor = locate(suffix);
    if (!tensor)
        return nullptr;
    if (!isPlain(view(*tensor)))
        return at(*tensor, ErrorCode::Unsupported, "does not lie in its file as it is");
    if (std::find(m_taken.begin(), m_taken.end(), *tensor) == m_taken.end())
        m_taken.push_back(*tensor);
    return &view(*tensor);
}

Result<const TensorView*> StoredParts::need(std::string_view suffix)
{
    if (!locate(suffix))
        return at(m_taken.front(), ErrorCode::Malformed, "comes without " + inQuotes(m_module + std::string(suffix)));
    return take(suffix);
}

tl::unexpected<Error> StoredParts::at(std::size_t tensor, ErrorCode code, const std::string& reason) const
{
    const auto& stored = m_model->tensors[tensor];
    const auto file = stored.file < m_model->files.size() ? m_model->files[stored.file].string() : std::string();
    return failure(code, file, "tensor " + inQuotes(stored.name) + " " + reason, stored.offset);
}

tl::unexpected<Error> StoredParts::malformed(std::string_view suffix, const std::string& reason) const
{
    const auto* tensor = suffix.empty() ? nullptr : locate(suffix);
    return at(tensor ? *tensor : m_taken.front(), ErrorCode::Malformed, reason);
}

tl::unexpected<Error> StoredParts::unsupported(const std::string& reason) const
{
    return at(m_taken.front(), ErrorCode::Unsupported, reason);
}

bool StoredParts::codesAreWords() const
{
    return codes().shape.size() == 2 && (codes().dtype == DType::I32 || codes().dtype == DType::U32);
}

Result<void> StoredParts::expectShape(std::string_view suffix, const TensorView& part, const Shape& shape) const
{
    if (part.shape == shape)
        return {};
    return malformed(suffix, "is " + extentsText(part.shape) + ", but the others ask for " + extentsText(shape));
}

Result<void> StoredParts::expectType(
    std::string_view suffix, const TensorView& part, std::initializer_list<DType> types) const
{
    if (std::find(types.begin(), types.end(), part.dtype) != types.end())
        return {};
    return malformed(suffix, "is of type " + std::string(nameOf(part.dtype)) + ", which does not fit its layout");
}

Result<void> StoredParts::expectFloats(std::string_view suffix, const TensorView& part) const
{
    return expectType(suffix, part, {DType::F32, DType::F16, DType::BF16, DType::F64});
}

std::vector<TensorView> StoredParts::takenViews() const
{
    std::vector<TensorView> views;
    for (const auto tensor : m_taken)
        views.push_back(view(tensor));
    return views;
}

std::uint64_t StoredParts::takenBytes() const
{
    std::uint64_t sum = 0;
    for (const auto tensor : m_taken)
        sum += view(tensor).bytes.size();
    return sum;
}

}  // namespace quantloupe
