// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/model/correspondence.h"

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <string>

namespace quantloupe {
namespace {

/// What tensors are called in GGUF, by which both worlds find each other. Experts that are not stacked share a name
/// there: each has its number behind it.
std::string keyOf(const ModelTensor& tensor, const ModelConfig& config)
{
    auto key = ggufName(tensor.name, config.architecture).value_or(tensor.name);
    if (tensor.parts.expert)
        key += "#" + std::to_string(*tensor.parts.expert);
    else if (tensor.parts.role == TensorRole::GateUp && !tensor.parts.expertStack)
        key += "#gate_up";
    return key;
}

/// "blk.0.attn_q.weight" with "attn_qkv" in the place of "attn_q"; empty where the name has no such part.
std::string renamed(const std::string& key, std::string_view part, std::string_view by)
{
    const auto at = key.find("." + std::string(part) + ".");
    if (at == std::string::npos)
        return {};
    return key.substr(0, at + 1) + std::string(by) + key.substr(at + 1 + part.size());
}

/// Parts in the order in which they are fused.
constexpr std::array<std::string_view, 3> kAttention {"attn_q", "attn_k", "attn_v"};
constexpr std::array<std::string_view, 2> kFeedForward {"ffn_gate", "ffn_up"};

class Matcher
{
public:
    Matcher(const Model& original, const Model& other)
        : m_original(original)
        , m_other(other)
        , m_used(other.tensors.size())
    {
        index(original, m_originalKeys);
        index(other, m_otherKeys);
    }

    ModelCorrespondence match()
    {
        for (std::size_t i = 0; i < m_original.tensors.size(); ++i)
            if (!matchOne(i))
                m_found.missing.push_back(i);
        matchTiedHead();
        for (std::size_t i = 0; i < m_used.size(); ++i)
            if (!m_used[i])
                m_found.extra.push_back(i);
        return std::move(m_found);
    }

private:
    using Keys = std::map<std::string, std::size_t, std::less<>>;

    static void index(const Model& model, Keys& keys)
    {
        for (std::size_t i = 0; i < model.tensors.size(); ++i)
            keys.emplace(keyOf(model.tensors[i], model.config), i);
    }

    static std::optional<std::size_t> find(const Keys& keys, const std::string& key)
    {
        const auto found = keys.find(key);
        return found == keys.end() ? std::nullopt : std::optional(found->second);
    }

    static MatrixShape shapeOf(const Model& model, std::size_t i) { return matrixShape(model.tensors[i].view); }

    void pair(const Correspondence& rows)
    {
        m_used[rows.other] = true;
        m_found.pairs.push_back(rows);
    }

    bool matchOne(std::size_t i)
    {
        const auto& tensor = m_original.tensors[i];
        const auto key = keyOf(tensor, m_original.config);
        const auto shape = shapeOf(m_original, i);
        auto same = m_other.find(tensor.name);
        if (!same)
            same = find(m_otherKeys, key);
        if (!same && tensor.parts.role == TensorRole::GateUp)  // Phi-3, whose fused matrix GGUF calls ffn_up
            same = find(m_otherKeys, key.substr(0, key.find('#')));
        if (same && shapeOf(m_other, *same) == shape) {
            pair({i, *same, 0, 0, shape.rows});
            return true;
        }
        if (matchExpert(i, key) || matchStack(i, key) || matchPart(i, key, kAttention, "attn_qkv", "")
            || matchPart(i, key, kFeedForward, "ffn_up", "#gate_up") || matchFused(i, key, kAttention, "attn_qkv", "")
            || matchFused(i, key, kFeedForward, "ffn_up", "#gate_up"))
            return true;
        if (same && !m_used[*same]) {
            m_used[*same] = true;
            m_found.mismatched.push_back({i, *same});
            return true;
        }
        return false;
    }

    /// One expert in the other's stack.
    bool matchExpert(std::size_t i, const std::string& key)
    {
        const auto expert = m_original.tensors[i].parts.expert;
        if (!expert)
            return false;
        const auto stack = find(m_otherKeys, key.substr(0, key.find('#')));
        if (!stack)
            return false;
        const auto shape = shapeOf(m_original, i), whole = shapeOf(m_other, *stack);
        if (shape.rows == 0 || whole.columns != shape.columns || whole.rows % shape.rows != 0
            || *expert >= whole.rows / shape.rows)
            return false;
        pair({i, *stack, 0, *expert * shape.rows, shape.rows});
        return true;
    }

    /// A stack whose experts the other keeps one by one.
    bool matchStack(std::size_t i, const std::string& key)
    {
        const auto shape = shapeOf(m_original, i);
        std::vector<Correspondence> experts;
        std::uint64_t row = 0;
        for (unsigned expert = 0; row < shape.rows; ++expert) {
            const auto one = find(m_otherKeys, key + "#" + std::to_string(expert));
            if (!one)
                return false;
            const auto part = shapeOf(m_other, *one);
            if (part.rows == 0 || part.columns != shape.columns || part.rows > shape.rows - row)
                return false;
            experts.push_back({i, *one, row, 0, part.rows});
            row += part.rows;
        }
        for (const auto& expert : experts)
            pair(expert);
        return !experts.empty();
    }

    /// One of the parts of the other's fused matrix.
    template<class Parts>
    bool matchPart(
        std::size_t i, const std::string& key, const Parts& parts, std::string_view fusedName, std::string_view mark)
    {
        for (const auto part : parts) {
            const auto fusedKey = renamed(key, part, fusedName);
            if (fusedKey.empty())
                continue;
            const auto fused = find(m_otherKeys, fusedKey + std::string(mark));
            if (!fused)
                return false;
            std::uint64_t row = 0, own = 0;
            for (const auto sibling : parts) {
                const auto at = find(m_originalKeys, renamed(key, part, sibling));
                if (!at)
                    return false;
                if (*at == i)
                    own = row;
                row += shapeOf(m_original, *at).rows;
            }
            const auto shape = shapeOf(m_original, i), whole = shapeOf(m_other, *fused);
            if (whole.rows != row || whole.columns != shape.columns || isVector(i))
                return false;
            pair({i, *fused, 0, own, shape.rows});
            return true;
        }
        return false;
    }

    /// A fused matrix whose parts the other keeps one by one.
    template<class Parts>
    bool matchFused(
        std::size_t i, const std::string& key, const Parts& parts, std::string_view fusedName, std::string_view mark)
    {
        if (!key.ends_with(mark) || isVector(i))
            return false;
        const auto plain = key.substr(0, key.size() - mark.size());
        const auto shape = shapeOf(m_original, i);
        std::vector<Correspondence> found;
        std::uint64_t row = 0;
        for (const auto part : parts) {
            const auto partKey = renamed(plain, fusedName, part);
            const auto one = partKey.empty() ? std::nullopt : find(m_otherKeys, partKey);
            if (!one || shapeOf(m_other, *one).columns != shape.columns)
                return false;
            found.push_back({i, *one, row, 0, shapeOf(m_other, *one).rows});
            row += found.back().rows;
        }
        if (row != shape.rows)
            return false;
        for (const auto& one : found)
            pair(one);
        return true;
    }

    bool isVector(std::size_t i) const { return m_original.tensors[i].view.shape.size() < 2; }

    static std::optional<std::size_t> firstOf(const Model& model, TensorRole role)
    {
        for (std::size_t i = 0; i < model.tensors.size(); ++i)
            if (model.tensors[i].parts.role == role)
                return i;
        return std::nullopt;
    }

    void matchTiedHead()
    {
        const auto embedding = firstOf(m_original, TensorRole::Embedding),
                   head = firstOf(m_original, TensorRole::LmHead);
        const auto otherEmbedding = firstOf(m_other, TensorRole::Embedding),
                   otherHead = firstOf(m_other, TensorRole::LmHead);
        if (!head && embedding && otherHead && !m_used[*otherHead])
            pairIfAlike(*embedding, *otherHead);
        const auto missing =
            head ? std::find(m_found.missing.begin(), m_found.missing.end(), *head) : m_found.missing.end();
        if (!otherHead && otherEmbedding && missing != m_found.missing.end() && pairIfAlike(*head, *otherEmbedding))
            m_found.missing.erase(missing);
    }

    bool pairIfAlike(std::size_t i, std::size_t other)
    {
        const auto shape = shapeOf(m_original, i);
        if (shape != shapeOf(m_other, other))
            return false;
        pair({i, other, 0, 0, shape.rows});
        return true;
    }

    const Model& m_original;
    const Model& m_other;
    Keys m_originalKeys, m_otherKeys;
    std::vector<bool> m_used;
    ModelCorrespondence m_found;
};

}  // namespace

ModelCorrespondence findCorrespondence(const Model& original, const Model& other)
{
    return Matcher(original, other).match();
}

}  // namespace quantloupe
