// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/file_formats/torch_state.h"

#include "core/base/text.h"

#include <algorithm>
#include <set>
#include <utility>

namespace quantloupe {
namespace {

constexpr std::size_t kMaxTorchDepth = 64, kMaxTorchName = 65'535, kMaxTorchEntries = 1'000'000;
constexpr std::size_t kMaxTorchNames = std::size_t {256} << 20U;  ///< bytes of all of them

/// Where checkpoints of training runs keep their weights. Of equal size the first is taken.
constexpr std::string_view kStateKeys[] = {"state_dict", "model_state_dict", "model", "module", "params", "net",
    "network", "ema", "model_ema", "params_ema", "generator", "teacher", "student"};

bool isStateKey(std::string_view key)
{
    return std::find(std::begin(kStateKeys), std::end(kStateKeys), key) != std::end(kStateKeys);
}

class StateFinder
{
public:
    StateFinder(const Pickle& pickle, const std::string& where)
        : m_heap(pickle.heap)
        , m_top(pickle.top)
        , m_where(where)
    {
    }

    Result<TorchState> find()
    {
        if (m_heap[m_top].kind == PickleKind::Tensor)
            return TorchState {{{"tensor", static_cast<std::uint32_t>(m_heap[m_top].number)}}, {}, {}, {}};
        if (!isTree(m_top))
            return none();
        auto direct = collect(m_top, m_heap[m_top].kind == PickleKind::ScriptObject);
        if (!direct || !direct->entries.empty() || !direct->foreign.empty())
            return direct;
        return findNested();
    }

private:
    bool isTree(PickleRef value) const
    {
        return m_heap[value].kind == PickleKind::Mapping || m_heap[value].kind == PickleKind::ScriptObject;
    }

    tl::unexpected<Error> none() const
    {
        return failure(ErrorCode::Unsupported, m_where,
            "holds no dictionary of tensors: save a state_dict, as torch.save(model.state_dict(), path) does", 0);
    }

    std::optional<std::string> keyOf(PickleRef key) const
    {
        if (m_heap[key].kind == PickleKind::Integer)
            return std::to_string(m_heap[key].number);
        if (m_heap[key].kind == PickleKind::Text)
            return std::string(m_heap.text(key));
        return std::nullopt;
    }

    Result<TorchState> findNested()
    {
        std::vector<TorchState> found;
        const auto items = m_heap.items(m_top);
        for (std::size_t i = 0; i + 1 < items.size(); i += 2) {
            auto key = keyOf(items[i]);
            if (!key || !isTree(items[i + 1]) || key->starts_with("optim"))
                continue;
            // What has no usual name counts only where it is itself a dictionary of tensors.
            auto state = collect(items[i + 1], isStateKey(*key));
            if (!state)
                return state;
            state->taken = std::move(*key);
            if (!state->entries.empty())
                found.push_back(std::move(*state));
        }
        const auto rank = [](const TorchState& state) {
            return std::pair(isStateKey(state.taken), state.entries.size());
        };
        const auto best = std::max_element(
            found.begin(), found.end(), [&](const TorchState& a, const TorchState& b) { return rank(a) < rank(b); });
        if (best == found.end())
            return none();
        for (const auto& other : found)
            if (&other != &*best)
                best->left.push_back(other.taken);
        return std::move(*best);
    }

    /// A dictionary may be memoized and put into many others, a long key in front of many names.
    Result<void> spend(std::size_t items, std::size_t nameBytes)
    {
        m_visited += items;
        m_nameBytes += nameBytes;
        if (m_visited > 4 * m_heap.size() + 1'024 || m_nameBytes > kMaxTorchNames || m_found > kMaxTorchEntries)
            return failure(ErrorCode::Unsupported, m_where,
                "more than a million tensors, or dictionaries that are in many others", 0);
        return {};
    }

    /// The tensors of a mapping, and with `deep` those of mappings in it, names joined by dots.
    Result<TorchState> collect(PickleRef root, bool deep)
    {
        TorchState state;
        struct Level {
            std::vector<PickleRef> items;
            std::size_t next = 0;
            std::size_t prefix = 0;  ///< length of the path that leads here
        };
        std::set<PickleRef> seen {root};
        if (auto spent = spend(m_heap[root].size, 0); !spent)
            return tl::unexpected(std::move(spent.error()));
        std::vector<Level> levels;
        levels.push_back({m_heap.items(root)});
        std::string path;
        while (!levels.empty()) {
            auto& level = levels.back();
            path.resize(level.prefix);
            if (level.next + 1 >= level.items.size()) {
                levels.pop_back();
                continue;
            }
            const auto key = keyOf(level.items[level.next]);
            const auto value = level.items[level.next + 1];
            level.next += 2;
            const auto kind = m_heap[value].kind;
            const bool tensor = kind == PickleKind::Tensor || kind == PickleKind::ForeignTensor;
            const bool descend = deep && isTree(value);
            if (!key || (!tensor && !descend))
                continue;
            path += (path.empty() ? "" : ".") + *key;
            if (path.empty() || path.size() > kMaxTorchName || !isValidUtf8(path)
                || path.find('\0') != std::string::npos)
                return failure(
                    ErrorCode::Malformed, m_where, "a tensor with the name " + inQuotes(path) + ", which is none", 0);
            m_found += tensor ? 1 : 0;
            if (auto spent = spend(tensor ? 0 : m_heap[value].size, path.size()); !spent)
                return tl::unexpected(std::move(spent.error()));
            if (kind == PickleKind::Tensor) {
                state.entries.push_back({path, static_cast<std::uint32_t>(m_heap[value].number)});
            } else if (tensor) {
                state.foreign.push_back(path);
            } else if (seen.insert(value).second) {
                if (levels.size() == kMaxTorchDepth)
                    return failure(ErrorCode::Malformed, m_where, "dictionaries nested deeper than 64", 0);
                levels.push_back({m_heap.items(value), 0, path.size()});
            }
        }
        return state;
    }

    const PickleHeap& m_heap;
    PickleRef m_top;
    const std::string& m_where;
    std::size_t m_visited = 0, m_nameBytes = 0, m_found = 0;
};

}  // namespace

Result<TorchState> findTorchState(const Pickle& pickle, const std::string& where)
{
    return StateFinder(pickle, where).find();
}

}  // namespace quantloupe
