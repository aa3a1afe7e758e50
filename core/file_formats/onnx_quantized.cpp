// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/file_formats/onnx_quantized.h"

#include "core/base/text.h"
#include "core/file_formats/code_book_rows.h"

#include <algorithm>

namespace quantloupe {
namespace {

using CodeLayout = OnnxQuantization::Layout;

constexpr std::uint64_t kMaxUnpacked = std::uint64_t {64} << 20U;

std::uint64_t ceilDivide(std::uint64_t count, std::uint64_t by)
{
    return count / by + (count % by != 0 ? 1 : 0);
}

bool isSignedCode(DType type)
{
    return type == DType::I2 || type == DType::I4 || type == DType::I8 || type == DType::I16 || type == DType::I32;
}

/// "int8", "fp8_e4m3": the names of schemes.
std::string codeName(DType type)
{
    switch (type) {
    case DType::U2:
    case DType::I2: return "int2";
    case DType::U4:
    case DType::I4: return "int4";
    case DType::U8:
    case DType::I8: return "int8";
    case DType::U16:
    case DType::I16: return "int16";
    case DType::I32: return "int32";
    case DType::F8_E4M3: return "fp8_e4m3";
    case DType::F8_E5M2: return "fp8_e5m2";
    case DType::F4: return "fp4_e2m1";
    default: return std::string(nameOf(type));
    }
}

/// Unsigned codes of `bits` bits side by side in bytes.
std::optional<DType> codesOf(std::int64_t bits)
{
    return bits == 2 ? std::optional(DType::U2)
        : bits == 4  ? std::optional(DType::U4)
        : bits == 8  ? std::optional(DType::U8)
                     : std::nullopt;
}

/// Builds the decoder of one weight; every check of sizes is here.
class Dequantizer
{
public:
    Dequantizer(const WireFile& file, OnnxElements& elements, std::size_t index, const ElementOrder& order)
        : m_file(file)
        , m_elements(elements)
        , m_index(index)
        , m_constant(elements.constants()[index])
        , m_how(*m_constant.quantization)
        , m_codes(m_constant.values)
        , m_scales(elements.constants()[m_how.scale].values)
        , m_zeroPoints(m_how.zeroPoint ? &elements.constants()[*m_how.zeroPoint].values : nullptr)
        , m_weight {.order = order, .codes = {}, .scales = {}}
    {
    }

    Result<TensorView> view(TensorView view)
    {
        const auto stored = elementsOfParts();
        if (!stored)
            return tl::unexpected(stored.error());
        if (!*stored)
            return view;
        m_weight.description = std::string(m_how.method) + " ";
        auto checked = m_how.layout == CodeLayout::Linear ? linear()
            : m_how.layout == CodeLayout::NBits           ? nBits(view)
            : m_how.layout == CodeLayout::Packed          ? packed(view)
                                                          : codeBook(view);
        if (!checked)
            return tl::unexpected(std::move(checked.error()));
        if (!view.decoder)
            view.decoder = affineRows(std::move(m_weight));
        view.packedBytes = m_codes.size() + m_scales.size() + (m_zeroPoints ? m_zeroPoints->size() : 0);
        return view;
    }

private:
    tl::unexpected<Error> malformed(const std::string& reason) const
    {
        return m_file.malformed(m_constant.message, "tensor " + inQuotes(m_constant.name) + ": " + reason);
    }

    /// False when one of the parts cannot be decoded.
    Result<bool> elementsOfParts()
    {
        if (!traitsOf(m_codes.dtype).decodable)
            return false;
        m_weight.codes = m_elements.codesOf(m_index);
        std::vector<std::pair<std::size_t, StoredElements*>> parts {{m_how.scale, &m_weight.scales}};
        if (m_how.zeroPoint)
            parts.emplace_back(*m_how.zeroPoint, &m_weight.zeroPoints.emplace());
        for (const auto& [index, elements] : parts) {
            if (!traitsOf(m_elements.constants()[index].values.dtype).decodable)
                return false;
            auto stored = m_elements.of(index);
            if (!stored)
                return tl::unexpected(std::move(stored.error()));
            if (!*stored) {
                m_elements.leave(m_index);
                return false;
            }
            *elements = std::move(**stored);
        }
        return true;
    }

    /// Codes in the shape of the weight.
    Result<void> linear()
    {
        const auto& shape = m_codes.shape;
        const auto rank = static_cast<std::int64_t>(shape.size());
        const auto axis = m_how.axis < 0 ? m_how.axis + rank : m_how.axis;
        std::string granularity = ":tensor";
        if (m_scales.shape.size() <= 1 && elementCount(m_scales.shape) == 1U) {
            m_weight.grid = {};
        } else if (axis < 0 || axis >= rank) {
            return malformed("its scales lie along axis " + std::to_string(m_how.axis) + ", which it does not have");
        } else if (m_how.blockSize > 0) {
            const auto block = static_cast<std::uint64_t>(m_how.blockSize);
            auto expected = shape;
            expected[static_cast<std::size_t>(axis)] = ceilDivide(expected[static_cast<std::size_t>(axis)], block);
            if (m_scales.shape != expected)
                return malformed("its scales are not one per block of " + std::to_string(m_how.blockSize));
            m_weight.grid = ScaleGrid::blocked(shape, static_cast<std::size_t>(axis), block);
            granularity = ":g" + std::to_string(m_how.blockSize);
        } else {
            if (m_scales.shape != Shape {shape[static_cast<std::size_t>(axis)]})
                return malformed("its scales are not one per step along axis " + std::to_string(axis));
            m_weight.grid = ScaleGrid::perAxis(shape, static_cast<std::size_t>(axis));
            granularity = ":channel";
        }
        if (m_zeroPoints && elementCount(m_zeroPoints->shape) != elementCount(m_scales.shape))
            return malformed("not as many zero points as scales");
        m_weight.description += codeName(m_codes.dtype) + granularity + (asymmetric() ? ":asym" : "");
        return {};
    }

    /// Zero points of signed codes are mostly written though all are 0.
    bool asymmetric() const
    {
        constexpr std::size_t kRead = 4'096;  // many weights may share them
        if (!m_weight.zeroPoints)
            return false;
        const auto bytes = m_weight.zeroPoints->bytes;
        return !isSignedCode(m_codes.dtype) || bytes.size() > kRead
            || std::any_of(bytes.begin(), bytes.end(), [](std::byte byte) { return byte != std::byte {0}; });
    }

    /// Rows of whole blocks, filled up; zero points a byte or more per row.
    Result<void> nBits(TensorView& view)
    {
        const auto type = codesOf(m_how.bits);
        if (!type)
            return m_file.unsupported(m_constant.message,
                "tensor " + inQuotes(m_constant.name) + ": MatMulNBits of " + std::to_string(m_how.bits) + " bits");
        std::uint64_t pitch = 0, elements = 0;
        const auto sized = sizedRows();
        if (!sized)
            return tl::unexpected(sized.error());
        const auto [rows, columns, block] = *sized;
        const auto blocks = ceilDivide(columns, block);
        if (__builtin_mul_overflow(blocks, block, &pitch) || __builtin_mul_overflow(rows, pitch, &elements)
            || m_codes.dtype != DType::U8 || byteCount(elements, *type) != m_codes.size()
            || elementCount(m_scales.shape) != rows * blocks)
            return malformed("its codes or scales are not as many as N, K and block_size ask for");
        m_weight.order = ElementOrder::padded(columns, pitch);
        m_weight.grid = ScaleGrid::blocked({rows, pitch}, 1, block);
        laysOut(view, {rows, columns});
        return unsignedCodes(view, *type, rows, blocks, block);
    }

    /// Rows are output channels in these layouts, whatever another use of the same constant says.
    static void laysOut(TensorView& view, Shape shape)
    {
        view.shape = std::move(shape);
        view.transposed = view.convolution = false;
    }

    struct SizedRows {
        std::uint64_t rows, columns, block;
    };
    Result<SizedRows> sizedRows() const
    {
        if (m_how.rows < 1 || m_how.columns < 1 || m_how.blockSize < 1)
            return malformed("N, K or block_size of its " + std::string(m_how.method) + " is not positive");
        return SizedRows {static_cast<std::uint64_t>(m_how.rows), static_cast<std::uint64_t>(m_how.columns),
            static_cast<std::uint64_t>(m_how.blockSize)};
    }

    /// Several codes in each byte along the last axis.
    Result<void> packed(TensorView& view)
    {
        const auto type = codesOf(m_how.bits);
        const auto rank = static_cast<std::int64_t>(m_codes.shape.size());
        if (!type || m_how.blockSize < 1 || rank < 2 || (m_how.axis != rank - 1 && m_how.axis != -1))
            return m_file.unsupported(m_constant.message,
                "tensor " + inQuotes(m_constant.name) + ": attributes of GatherBlockQuantized that are not documented");
        if (__builtin_mul_overflow(view.shape.back(), traitsOf(*type).blockElements, &view.shape.back())
            || !elementCount(view.shape))
            return malformed("the product of its extents overflows");
        const auto columns = view.shape.back(), block = static_cast<std::uint64_t>(m_how.blockSize);
        const auto rows = columns == 0 ? 0 : view.elements() / columns, blocks = ceilDivide(columns, block);
        if (elementCount(m_scales.shape) != rows * blocks)
            return malformed("its scales are not one per block of " + std::to_string(m_how.blockSize));
        m_weight.order = ElementOrder::padded(columns, columns);
        m_weight.grid = ScaleGrid::blocked({rows, columns}, 1, block);
        laysOut(view, view.shape);
        return unsignedCodes(view, *type, rows, blocks, block);
    }

    /// What the two layouts of codes in bytes have in common: 2^(bits−1) stands for 0 unless zero points are stored,
    /// which are packed like codes, each row of them from a byte on, or are plain floats.
    Result<void> unsignedCodes(
        TensorView& view, DType type, std::uint64_t rows, std::uint64_t blocks, std::uint64_t block)
    {
        view.dtype = type;
        m_weight.codes.dtype = type;
        m_weight.zeroPoint = static_cast<float>(1U << static_cast<unsigned>(m_how.bits - 1));
        if (m_zeroPoints && m_zeroPoints->dtype == DType::U8) {
            const auto perByte = traitsOf(type).blockElements;
            const auto bytesPerRow = ceilDivide(blocks, perByte);
            if (m_zeroPoints->size() != rows * bytesPerRow)
                return malformed("not as many zero points as scales");
            m_weight.zeroPoints->dtype = type;
            m_weight.grid.zeroOuterStep = bytesPerRow * perByte;
        } else if (m_zeroPoints && elementCount(m_zeroPoints->shape) != rows * blocks) {
            return malformed("not as many zero points as scales");
        }
        m_weight.description += codeName(type) + ":g" + std::to_string(block) + (m_zeroPoints ? ":asym" : ":sym");
        return {};
    }

    Result<void> codeBook(TensorView& view)
    {
        const auto sized = sizedRows();
        if (!sized)
            return tl::unexpected(sized.error());
        const auto [rows, columns, block] = *sized;
        std::uint64_t elements = 0;
        if (m_how.codeBook != 0 && m_how.codeBook != 1)
            return m_file.unsupported(m_constant.message,
                "tensor " + inQuotes(m_constant.name) + ": quant_type " + std::to_string(m_how.codeBook));
        if (__builtin_mul_overflow(rows, columns, &elements) || m_codes.dtype != DType::U8
            || m_codes.size() != ceilDivide(elements, 2) || elementCount(m_scales.shape) != ceilDivide(elements, block))
            return malformed("its codes or scales are not as many as N, K and block_size ask for");
        const bool normal = m_how.codeBook == 1;
        laysOut(view, {rows, columns});
        view.decoder = codeBookRows({ElementOrder::padded(columns, columns), m_weight.codes, m_weight.scales, block,
            normal ? kNormalFloat4 : kBitsAndBytesFloat4,
            m_weight.description + (normal ? "nf4:g" : "fp4_bnb:g") + std::to_string(block)});
        return {};
    }

    const WireFile& m_file;
    OnnxElements& m_elements;
    std::size_t m_index;
    const OnnxConstant& m_constant;
    const OnnxQuantization& m_how;
    const OnnxValues &m_codes, &m_scales;
    const OnnxValues* m_zeroPoints;
    AffineWeight m_weight;
};

}  // namespace

Result<std::optional<StoredElements>> OnnxElements::of(std::size_t index)
{
    const auto& values = m_constants[index].values;
    if (!values.deferred)
        return codesOf(index);
    if (const auto known = m_unpacked.find(index); known != m_unpacked.end())
        return known->second;
    if (values.size() > kMaxUnpacked - m_unpackedBytes)
        return std::nullopt;
    auto unpacked = values.deferred->unpacked();
    if (!unpacked)
        return tl::unexpected(std::move(unpacked.error()));
    m_unpackedBytes += values.size();
    const auto held = std::make_shared<const std::vector<std::byte>>(std::move(*unpacked));
    return m_unpacked[index] = StoredElements {values.dtype, *held, held, nullptr};
}

StoredElements OnnxElements::codesOf(std::size_t index) const
{
    const auto& values = m_constants[index].values;
    return {values.dtype, values.bytes, values.owner, values.deferred};
}

Result<TensorView> dequantizedOnnxView(
    const WireFile& file, OnnxElements& elements, std::size_t index, TensorView view, const ElementOrder& order)
{
    return Dequantizer(file, elements, index, order).view(std::move(view));
}

}  // namespace quantloupe
