// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/file_formats/onnx_values.h"

#include "core/base/text.h"
#include "core/file_formats/model_assembly.h"

#include <algorithm>

namespace quantloupe {
namespace {

constexpr std::size_t kMaxExternalFiles = 10'000;
constexpr std::int64_t kText = 8;

/// One row of the table of element types.
struct OnnxElementType {
    std::int64_t number;
    DType dtype;
    std::uint32_t typedField;  ///< that holds such numbers when raw_data does not
    unsigned bytesPerEntry;    ///< of one number there, as raw_data would have it; complex elements are two numbers
};

constexpr OnnxElementType kOnnxTypes[] = {
    {1, DType::F32, 4, 4},
    {2, DType::U8, 5, 1},
    {3, DType::I8, 5, 1},
    {4, DType::U16, 5, 2},
    {5, DType::I16, 5, 2},
    {6, DType::I32, 5, 4},
    {7, DType::I64, 7, 8},
    {9, DType::Bool, 5, 1},
    {10, DType::F16, 5, 2},
    {11, DType::F64, 10, 8},
    {12, DType::U32, 11, 4},
    {13, DType::U64, 11, 8},
    {14, DType::C64, 4, 4},
    {15, DType::C128, 10, 8},
    {16, DType::BF16, 5, 2},
    {17, DType::F8_E4M3, 5, 1},
    {18, DType::F8_E4M3FNUZ, 5, 1},
    {19, DType::F8_E5M2, 5, 1},
    {20, DType::F8_E5M2FNUZ, 5, 1},
    {21, DType::U4, 5, 1},
    {22, DType::I4, 5, 1},
    {23, DType::F4, 5, 1},
    {24, DType::F8_E8M0, 5, 1},
    {25, DType::U2, 5, 1},
    {26, DType::I2, 5, 1},
};

const OnnxElementType* onnxElementType(std::int64_t number)
{
    const auto* found = std::find_if(std::begin(kOnnxTypes), std::end(kOnnxTypes),
        [&](const OnnxElementType& type) { return type.number == number; });
    return found == std::end(kOnnxTypes) ? nullptr : found;
}

/// Bytes of `elements`, the last one filled up; nullopt on overflow.
std::optional<std::uint64_t> filledBytes(std::uint64_t elements, DType type)
{
    const auto block = traitsOf(type).blockElements;
    std::uint64_t filled = 0;
    if (__builtin_add_overflow(elements, block - 1, &filled))
        return std::nullopt;
    return byteCount(filled / block * block, type);
}

}  // namespace

OnnxStorage::OnnxStorage(MappedFilePointer model, const WireFile& wire)
    : m_wire(wire)
    , m_files {std::move(model)}
{
}

Result<std::optional<OnnxValues>> OnnxStorage::find(const OnnxTensor& tensor)
{
    const auto name = "tensor " + inQuotes(tensor.name) + ": ";
    if (tensor.type == kText)
        return std::nullopt;
    const auto* type = onnxElementType(tensor.type);
    if (!type)
        return m_wire.unsupported(tensor.message, name + "element type " + std::to_string(tensor.type));
    const auto size = filledBytes(*elementCount(tensor.shape), type->dtype);
    if (!size)
        return m_wire.malformed(tensor.message, name + "its size overflows");
    OnnxValues values {.dtype = type->dtype, .shape = tensor.shape, .owner = m_files.front()};
    if (tensor.external)
        return findOutside(tensor, std::move(values), *size);
    if (tensor.typedField != 0)
        return findTyped(tensor, std::move(values), *size);
    values.bytes = tensor.raw.value_or(Bytes());
    values.offset = m_wire.offsetOf(tensor.raw ? *tensor.raw : tensor.message);
    if (values.bytes.size() != *size)
        return m_wire.malformed(tensor.message,
            name + std::to_string(values.bytes.size()) + " bytes, but its shape asks for " + std::to_string(*size));
    return values;
}

Result<OnnxValues> OnnxStorage::findOutside(const OnnxTensor& tensor, OnnxValues values, std::uint64_t size)
{
    const auto name = "tensor " + inQuotes(tensor.name) + ": ";
    auto known = m_byLocation.find(tensor.location);
    if (known == m_byLocation.end()) {
        if (m_files.size() > kMaxExternalFiles)
            return m_wire.malformed(tensor.message, "more than 10,000 files of external data");
        auto opened = openBelow(
            m_files.front()->path().parent_path(), tensor.location, m_wire.where, m_wire.offsetOf(tensor.message));
        if (!opened)
            return tl::unexpected(std::move(opened.error()));
        known = m_byLocation.emplace(tensor.location, static_cast<std::uint32_t>(m_files.size())).first;
        m_files.push_back(std::move(*opened));
    }
    if (tensor.externalLength && *tensor.externalLength != size) {
        return m_wire.malformed(tensor.message,
            name + std::to_string(*tensor.externalLength) + " bytes of external data, but its shape asks for "
                + std::to_string(size));
    }
    values.file = known->second;
    values.owner = m_files[known->second];
    values.offset = tensor.externalOffset;
    const auto all = values.owner->bytes();
    if (values.offset > all.size() || size > all.size() - values.offset) {
        return failure(ErrorCode::Truncated, values.owner->path().string(),
            name + std::to_string(size) + " bytes reach past the end of the file, which has "
                + std::to_string(all.size()),
            values.offset);
    }
    values.bytes = all.subspan(values.offset, size);
    return values;
}

Result<OnnxValues> OnnxStorage::findTyped(const OnnxTensor& tensor, OnnxValues values, std::uint64_t size)
{
    const auto name = "tensor " + inQuotes(tensor.name) + ": ";
    const auto& type = *onnxElementType(tensor.type);
    if (tensor.typedField != type.typedField)
        return m_wire.malformed(tensor.message, name + "its numbers are in the field of another type");
    // float_data and double_data in one piece lie as raw_data would.
    std::optional<Bytes> packed;
    std::size_t pieces = 0;
    auto visited = visitFields(m_wire, tensor.message, [&](const WireField& field) -> Result<void> {
        if (field.number == tensor.typedField && !(field.type == WireField::Type::Delimited && field.bytes.empty())) {
            ++pieces;
            packed = field.bytes;
        }
        return {};
    });
    if (!visited)
        return tl::unexpected(std::move(visited.error()));
    const bool fixed = tensor.typedField == 4 || tensor.typedField == 10;
    if (fixed && pieces == 1 && packed->size() == size) {
        values.bytes = *packed;
        values.offset = m_wire.offsetOf(*packed);
        return values;
    }
    const auto count = OnnxTypedNumbers::count(m_wire, tensor.message, tensor.typedField);
    if (!count)
        return tl::unexpected(count.error());
    if (*count > m_wire.bytes.size() || *count * type.bytesPerEntry != size) {
        return m_wire.malformed(tensor.message,
            name + std::to_string(*count) + " numbers, but its shape asks for "
                + std::to_string(size / type.bytesPerEntry));
    }
    values.offset = m_wire.offsetOf(tensor.message);
    if (size == 0)
        return values;
    values.deferred =
        std::make_shared<const OnnxTypedNumbers>(OnnxTypedNumbers::Source {m_files.front(), tensor.message,
                                                     tensor.typedField, type.bytesPerEntry, std::string(tensor.name)},
            size);
    return values;
}

}  // namespace quantloupe
