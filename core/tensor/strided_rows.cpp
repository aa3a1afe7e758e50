// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/tensor/strided_rows.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <utility>

namespace quantloupe {
namespace {

constexpr std::size_t kSwappedAtOnce = 256, kWidestElement = 8;

/// How elements lie that are seen as a tensor of this shape, output channels first.
struct StridedLayout {
    DType dtype;
    Shape shape;
    std::vector<std::uint64_t> strides;  ///< in elements
    bool swapped;                        ///< most significant byte first
};

/// Leading extents fold into rows and trailing ones into columns, as matrixShape() has them: the elements of a row
/// follow each other in row-major order whatever the fold.
class StridedRows final : public RowDecoder
{
public:
    StridedRows(StridedLayout layout, const TensorView& view)
        : m_layout(std::move(layout))
        , m_bytes(view.bytes)
        , m_owner(view.owner)
        , m_deferred(view.deferred)
    {
        if (m_layout.shape.empty()) {
            m_layout.shape = {1};
            m_layout.strides = {1};
        }
    }

    void decodeRows(std::uint64_t firstRow, std::uint64_t rowCount, std::span<float> out) const override
    {
        if (out.empty())
            return;
        const auto held = m_deferred ? m_deferred->held() : nullptr;
        assert(!m_deferred || held);
        const auto* data = held ? held->bytes().data() : m_bytes.data();
        const auto columns = out.size() / rowCount;
        const auto& [dtype, shape, strides, swapped] = m_layout;
        // Stored by columns: neighbouring rows lie together.
        if (shape.size() == 2 && strides[0] == 1 && strides[1] != 1 && !swapped)
            return decodeColumns(dtype, data, firstRow, strides[1], columns, out);
        const auto run = shape.back();
        std::uint64_t element = firstRow * columns;
        for (std::size_t done = 0; done < out.size();) {
            const auto within = element % run;
            const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(run - within, out.size() - done));
            decodeRun(data, placeOf(element), count, out.data() + done);
            done += count;
            element += count;
        }
    }

private:
    /// Where an element lies, numbered as if the tensor were row-major.
    std::uint64_t placeOf(std::uint64_t element) const
    {
        std::uint64_t place = 0;
        for (std::size_t i = m_layout.shape.size(); i-- > 0;) {
            place += element % m_layout.shape[i] * m_layout.strides[i];
            element /= m_layout.shape[i];
        }
        return place;
    }

    void decodeRun(const std::byte* data, std::uint64_t first, std::size_t count, float* out) const
    {
        const auto stride = m_layout.strides.back();
        if (!m_layout.swapped)
            return decodeElements(m_layout.dtype, data, first, stride, count, out);
        const auto width = traitsOf(m_layout.dtype).blockBytes;
        std::array<std::byte, kSwappedAtOnce * kWidestElement> turned;
        for (std::size_t done = 0; done < count; done += kSwappedAtOnce) {
            const auto part = std::min(kSwappedAtOnce, count - done);
            for (std::size_t i = 0; i < part; ++i) {
                const auto* stored = data + (first + (done + i) * stride) * width;
                std::reverse_copy(stored, stored + width, turned.data() + i * width);
            }
            decodeElements(m_layout.dtype, turned.data(), 0, 1, part, out + done);
        }
    }

    StridedLayout m_layout;
    Bytes m_bytes;
    std::shared_ptr<const MappedFile> m_owner;
    std::shared_ptr<const DeferredBytes> m_deferred;
};

}  // namespace

bool isContiguous(const Shape& shape, const std::vector<std::uint64_t>& strides)
{
    if (std::find(shape.begin(), shape.end(), std::uint64_t {0}) != shape.end())
        return true;
    std::uint64_t expected = 1;
    for (std::size_t i = shape.size(); i-- > 0;) {
        if (shape[i] != 1 && strides[i] != expected)
            return false;
        expected *= shape[i];
    }
    return true;
}

std::optional<std::uint64_t> strideExtent(const Shape& shape, const std::vector<std::uint64_t>& strides)
{
    if (std::find(shape.begin(), shape.end(), std::uint64_t {0}) != shape.end())
        return 0;
    std::uint64_t last = 0;
    for (std::size_t i = 0; i < shape.size(); ++i) {
        std::uint64_t reach = 0;
        if (__builtin_mul_overflow(shape[i] - 1, strides[i], &reach) || __builtin_add_overflow(last, reach, &last))
            return std::nullopt;
    }
    return last == ~std::uint64_t {0} ? std::nullopt : std::optional(last + 1);
}

void setStrides(TensorView& view, std::vector<std::uint64_t> strides, bool swapped)
{
    swapped = swapped && traitsOf(view.dtype).blockBytes > 1;
    if (!traitsOf(view.dtype).decodable || (!swapped && isContiguous(view.shape, strides)))
        return;
    StridedLayout layout {view.dtype, view.shape, std::move(strides), swapped};
    if (view.transposed) {
        assert(layout.shape.size() == 2);
        std::swap(layout.shape[0], layout.shape[1]);
        std::swap(layout.strides[0], layout.strides[1]);
    }
    view.packedBytes = byteCount(view.elements(), view.dtype).value_or(0);
    view.decoder = std::make_shared<StridedRows>(std::move(layout), view);
}

}  // namespace quantloupe
