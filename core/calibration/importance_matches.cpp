// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/calibration/importance_matches.h"

#include <map>
#include <string_view>
#include <utility>

namespace quantloupe {
namespace {

constexpr std::size_t kNamed = 5;

class EntryFinder
{
public:
    EntryFinder(const ImportanceMatrix& matrix, const std::string& architecture)
        : m_architecture(architecture)
    {
        for (const auto& entry : matrix.entries)
            m_own.emplace(entry.name, &entry);
        for (const auto& entry : matrix.entries)
            if (auto name = ggufName(entry.name, architecture); name && !readName(entry.name).expert)
                m_gguf.emplace(std::move(*name), &entry);
    }

    /// `slice` is set where the entry is that of the stack to which the tensor belongs.
    const ImportanceEntry* find(const ModelTensor& tensor, std::optional<unsigned>& slice) const
    {
        if (const auto own = m_own.find(tensor.name); own != m_own.end())
            return own->second;
        const auto name = ggufName(tensor.name, m_architecture);
        const auto entry = name ? m_gguf.find(*name) : m_gguf.end();
        if (entry == m_gguf.end())
            return nullptr;
        slice = tensor.parts.expert;
        return entry->second;
    }

private:
    const std::string& m_architecture;
    std::map<std::string, const ImportanceEntry*, std::less<>> m_own, m_gguf;
};

/// Null where the numbers are not those of such a tensor.
ColumnImportancePointer importanceFor(
    const ModelTensor& tensor, const ImportanceEntry& entry, std::optional<unsigned> slice)
{
    const auto columns = matrixShape(tensor.view).columns;
    const std::uint64_t size = entry.squares.size();
    if (columns == 0 || size % columns != 0 || (entry.columns != 0 && entry.columns != columns))
        return nullptr;
    const auto matrices = size / columns;
    auto values = entry.means();
    if (slice) {
        if (*slice >= matrices)
            return nullptr;
        const auto begin = values.begin() + static_cast<std::ptrdiff_t>(*slice * columns);
        return makeColumnImportance({begin, begin + static_cast<std::ptrdiff_t>(columns)});
    }
    const bool isStack = tensor.view.shape.size() == 3 && !tensor.view.convolution;
    if (matrices != 1 && !(isStack && matrices == tensor.view.shape.front()))
        return nullptr;
    return makeColumnImportance(std::move(values), matrices);
}

std::string listed(const std::vector<std::string>& names)
{
    std::string text;
    for (std::size_t i = 0; i < std::min(names.size(), kNamed); ++i)
        text += (i == 0 ? "" : ", ") + names[i];
    return names.size() > kNamed ? text + ", …" : text;
}

}  // namespace

ImportanceMatches matchImportance(
    const Model& model, const ImportanceMatrix& matrix, std::span<const std::size_t> tensors)
{
    ImportanceMatches matches {.model = model};
    const EntryFinder finder(matrix, model.config.architecture);
    std::vector<std::string> missing;
    for (const auto index : tensors) {
        auto& tensor = matches.model.tensors[index];
        std::optional<unsigned> slice;
        const auto* entry = finder.find(tensor, slice);
        if (!entry) {
            missing.push_back(tensor.name);
            continue;
        }
        tensor.importance = importanceFor(tensor, *entry, slice);
        if (tensor.importance) {
            ++matches.weighed;
            continue;
        }
        matches.warnings.push_back(tensor.name + " has " + std::to_string(matrixShape(tensor.view).columns)
            + " columns, and the importance matrix holds " + std::to_string(entry->squares.size())
            + " values for it: its errors are not weighed");
    }
    if (!missing.empty())
        matches.warnings.push_back("the importance matrix has no entry for " + std::to_string(missing.size())
            + (missing.size() == 1 ? " tensor, whose" : " tensors, whose")
            + " errors are not weighed: " + listed(missing));
    return matches;
}

}  // namespace quantloupe
