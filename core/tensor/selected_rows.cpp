// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/tensor/selected_rows.h"

#include <algorithm>
#include <utility>

namespace quantloupe {
namespace {

class SelectedRows final : public RowDecoder
{
public:
    SelectedRows(TensorView source, std::vector<std::uint64_t> rows)
        : m_source(std::move(source))
        , m_rows(std::move(rows))
        , m_columns(matrixShape(m_source).columns)
    {
    }

    void decodeRows(std::uint64_t firstRow, std::uint64_t rowCount, std::span<float> out) const override
    {
        for (std::uint64_t row = 0; row < rowCount;) {
            // Rows that lie together there, too, in one go.
            const auto first = m_rows[static_cast<std::size_t>(firstRow + row)];
            std::uint64_t count = 1;
            while (row + count < rowCount && m_rows[static_cast<std::size_t>(firstRow + row + count)] == first + count)
                ++count;
            quantloupe::decodeRows(m_source, first, count,
                out.subspan(static_cast<std::size_t>(row * m_columns), static_cast<std::size_t>(count * m_columns)));
            row += count;
        }
    }
    void release() const override { releaseBytes(m_source); }
    std::string description() const override
    {
        return m_source.decoder ? m_source.decoder->description() : std::string();
    }

private:
    TensorView m_source;
    std::vector<std::uint64_t> m_rows;
    std::uint64_t m_columns;
};

}  // namespace

TensorView selectRows(const TensorView& view, std::vector<std::uint64_t> rows)
{
    const auto whole = matrixShape(view);
    TensorView selected {.dtype = view.dtype,
        .shape = {std::uint64_t {rows.size()}, whole.columns},
        .bytes = view.bytes,
        .owner = view.owner,
        .deferred = view.deferred};
    const double share = whole.rows == 0 ? 0.0 : static_cast<double>(rows.size()) / static_cast<double>(whole.rows);
    selected.packedBytes =
        std::max<std::uint64_t>(1, static_cast<std::uint64_t>(share * static_cast<double>(view.byteSize())));
    selected.decoder = std::make_shared<SelectedRows>(view, std::move(rows));
    return selected;
}

}  // namespace quantloupe
