// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/file_formats/pickle_calls.h"

#include "core/base/text.h"
#include "core/tensor/strided_rows.h"

#include <algorithm>
#include <utility>

namespace quantloupe {
namespace {

constexpr std::size_t kMaxTorchRank = 8, kMaxPickledTensors = 1'000'000, kMaxArguments = 64, kMaxPairs = 10'000'000;
/// A tensor may repeat elements of its storage, but not so that a small file holds a model of any size.
constexpr std::uint64_t kMaxRepetition = 64, kAnyRepetitionBelow = std::uint64_t {1} << 20U;

}  // namespace

tl::unexpected<Error> PickleCalls::refuse(std::string reason, std::uint64_t place, ErrorCode code) const
{
    return failure(code, m_where, std::move(reason), place);
}

const PickleGlobal* PickleCalls::globalOf(PickleRef value) const
{
    const auto& found = m_heap[value];
    return found.kind == PickleKind::Global ? &m_globals[static_cast<std::size_t>(found.number)] : nullptr;
}

std::optional<std::uint64_t> PickleCalls::number(PickleRef value) const
{
    const auto& found = m_heap[value];
    if (found.kind != PickleKind::Integer || found.number < 0)
        return std::nullopt;
    return static_cast<std::uint64_t>(found.number);
}

std::optional<std::vector<std::uint64_t>> PickleCalls::numbers(PickleRef tuple) const
{
    const auto& found = m_heap[tuple];
    if ((found.kind != PickleKind::Tuple && found.kind != PickleKind::List) || found.size > kMaxTorchRank)
        return std::nullopt;
    std::vector<std::uint64_t> all;
    for (const auto item : m_heap.items(tuple)) {
        const auto one = number(item);
        if (!one)
            return std::nullopt;
        all.push_back(*one);
    }
    return all;
}

Result<PickleRef> PickleCalls::global(std::string_view module, std::string_view name, std::uint64_t place)
{
    if (const auto known = m_named.find({module, name}); known != m_named.end())
        return known->second;
    auto found = findPickleGlobal(module, name);
    if (found.kind == PickleGlobal::Kind::RunsCode)
        return refuse("the file tries to run code: it names " + inQuotes(found.name) + ", which no weights need", place,
            ErrorCode::Unsupported);
    m_globals.push_back(std::move(found));
    const auto made =
        m_heap.add({.kind = PickleKind::Global, .number = static_cast<std::int64_t>(m_globals.size() - 1)});
    m_named.emplace(std::pair(module, name), made);
    return made;
}

Result<PickleRef> PickleCalls::call(PickleRef function, PickleRef arguments, std::uint64_t place)
{
    const auto* global = globalOf(function);
    if (!global)
        return refuse("calls something that is not a function", place);
    if (m_heap[arguments].kind != PickleKind::Tuple || m_heap[arguments].size > kMaxArguments)
        return refuse("calls a function without a tuple of arguments", place);
    auto given = m_heap.items(arguments);
    using Kind = PickleGlobal::Kind;
    if (global->kind == Kind::RebuildFromType) {  // (function, type, arguments, state)
        const auto* inner = given.size() == 4 ? globalOf(given[0]) : nullptr;
        if (!inner || m_heap[given[2]].kind != PickleKind::Tuple || m_heap[given[2]].size > kMaxArguments)
            return refuse("a tensor of a class of its own, rebuilt in an unknown way", place);
        global = inner;
        given = m_heap.items(given[2]);
    }
    switch (global->kind) {
    case Kind::RebuildTensor:
    case Kind::RebuildTensorV2:
    case Kind::RebuildTensorV3: return tensor(*global, given, place);
    case Kind::RebuildParameter:
    case Kind::Parameter:
    case Kind::FirstArgument:
        if (given.empty())
            return refuse("calls " + inQuotes(global->name) + " without arguments", place);
        return given[0];
    case Kind::RebuildForeign: return m_heap.add({.kind = PickleKind::ForeignTensor});
    case Kind::Mapping: return mapping(given, place);
    case Kind::Harmless: return m_heap.add({.kind = PickleKind::Opaque});
    default: break;
    }
    return refuse("contains objects of classes that are not weights (" + inQuotes(global->name)
            + "): save a state_dict instead, as torch.save(model.state_dict(), path) does",
        place, ErrorCode::Unsupported);
}

Result<PickleRef> PickleCalls::create(PickleRef type, PickleRef arguments, std::uint64_t place)
{
    const auto* global = globalOf(type);
    if (global && global->kind == PickleGlobal::Kind::ScriptClass)
        return m_heap.add({.kind = PickleKind::ScriptObject});
    return call(type, arguments, place);
}

Result<void> PickleCalls::setState(PickleRef object, PickleRef state, std::uint64_t place)
{
    switch (m_heap[object].kind) {
    case PickleKind::ScriptObject:
        if (m_heap[state].kind == PickleKind::Mapping)
            m_heap.share(object, state);
        return {};
    case PickleKind::Mapping:
    case PickleKind::Tensor:
    case PickleKind::ForeignTensor:
    case PickleKind::Opaque: return {};  // attributes of Python's, such as a state_dict's _metadata
    default: return refuse("sets the state of something that has none", place);
    }
}

/// OrderedDict(), or with a list of pairs as Python 2 writes it.
Result<PickleRef> PickleCalls::mapping(const std::vector<PickleRef>& arguments, std::uint64_t place)
{
    const auto made = m_heap.add({.kind = PickleKind::Mapping});
    if (arguments.empty() || m_heap[arguments[0]].kind != PickleKind::List)
        return made;
    // A list may be memoized and given to many calls.
    if (m_heap[arguments[0]].size > kMaxPairs - std::min(kMaxPairs, m_pairs))
        return refuse("makes too many dictionaries of lists", place, ErrorCode::Unsupported);
    m_pairs += m_heap[arguments[0]].size;
    for (const auto pair : m_heap.items(arguments[0])) {
        const auto kind = m_heap[pair].kind;
        if ((kind != PickleKind::List && kind != PickleKind::Tuple) || m_heap[pair].size != 2)
            return refuse("makes a dictionary of something that is not pairs", place);
        for (const auto item : m_heap.items(pair))
            m_heap.append(made, item);
    }
    return made;
}

/// ('storage', type, key, location, elements), of old files also (key of a view, its begin, its elements).
Result<PickleRef> PickleCalls::storage(PickleRef id, std::uint64_t place)
{
    const auto malformed = [&] { return refuse("a persistent id that is not that of a storage", place); };
    if (m_heap[id].kind != PickleKind::Tuple || m_heap[id].size < 5 || m_heap[id].size > 6)
        return malformed();
    const auto parts = m_heap.items(id);
    const auto isText = [&](PickleRef value) { return m_heap[value].kind == PickleKind::Text; };
    const auto* type = globalOf(parts[1]);
    const auto elements = number(parts[4]);
    if (!isText(parts[0]) || m_heap.text(parts[0]) != "storage" || !type || type->kind != PickleGlobal::Kind::Storage
        || !isText(parts[2]) || !elements)
        return malformed();
    PickledStorage made {.key = m_heap.text(parts[2]),
        .dtype = type->dtype,
        .foreign = type->foreign,
        .elements = *elements,
        .viewed = *elements};
    if (parts.size() == 6 && m_heap[parts[5]].kind != PickleKind::None) {
        const auto view =
            m_heap[parts[5]].kind == PickleKind::Tuple ? m_heap.items(parts[5]) : std::vector<PickleRef>();
        const auto begin = view.size() == 3 ? number(view[1]) : std::nullopt;
        const auto viewed = view.size() == 3 ? number(view[2]) : std::nullopt;
        if (!begin || !viewed || *begin > *elements || *viewed > *elements - *begin)
            return malformed();
        made.begin = *begin;
        made.viewed = *viewed;
    }
    m_heap.storages.push_back(made);
    return m_heap.add({.kind = PickleKind::Storage, .number = static_cast<std::int64_t>(m_heap.storages.size() - 1)});
}

/// (storage, begin, size, strides[, requires_grad, hooks[, dtype][, metadata]])
Result<PickleRef> PickleCalls::tensor(
    const PickleGlobal& function, const std::vector<PickleRef>& arguments, std::uint64_t place)
{
    const bool ownType = function.kind == PickleGlobal::Kind::RebuildTensorV3;
    const std::size_t least = function.kind == PickleGlobal::Kind::RebuildTensor ? 4 : ownType ? 7 : 6;
    if (arguments.size() < least || m_heap[arguments[0]].kind != PickleKind::Storage)
        return refuse("rebuilds a tensor from something that is not a storage", place);
    PickledTensor made;
    made.storage = static_cast<std::uint32_t>(m_heap[arguments[0]].number);
    const auto& storage = m_heap.storages[made.storage];
    const auto* type = ownType ? globalOf(arguments[6]) : nullptr;
    if (ownType && (!type || type->kind != PickleGlobal::Kind::ElementType))
        return refuse("rebuilds a tensor without an element type", place);
    if (storage.foreign || (type && type->foreign))
        return m_heap.add({.kind = PickleKind::ForeignTensor});
    const auto dtype = type ? type->dtype : storage.dtype;
    const auto begin = number(arguments[1]);
    auto shape = numbers(arguments[2]);
    auto strides = numbers(arguments[3]);
    if (!dtype || !begin || !shape || !strides || shape->size() != strides->size())
        return refuse("rebuilds a tensor from sizes, strides or a place that cannot be", place);
    made.dtype = *dtype;
    made.shape = std::move(*shape);
    made.strides = std::move(*strides);

    const std::uint64_t width = traitsOf(made.dtype).blockBytes;
    const std::uint64_t storedWidth = storage.dtype ? traitsOf(*storage.dtype).blockBytes : 1;
    std::uint64_t storedBytes = 0, viewBegin = 0;
    const auto elements = elementCount(made.shape);
    const auto extent = strideExtent(made.shape, made.strides);
    if (__builtin_mul_overflow(storage.viewed, storedWidth, &storedBytes)
        || __builtin_mul_overflow(storage.begin, storedWidth, &viewBegin) || !elements
        || !byteCount(*elements, made.dtype) || viewBegin % width != 0)
        return refuse("rebuilds a tensor whose size overflows", place);
    const auto available = storedBytes / width;
    if (!extent || *begin > available || *extent > available - *begin)
        return refuse(
            "rebuilds a tensor that reaches past its storage of " + std::to_string(available) + " elements", place);
    if (*elements > kAnyRepetitionBelow && *elements / kMaxRepetition > available)
        return refuse("rebuilds a tensor that repeats its elements more than 64 times", place, ErrorCode::Unsupported);
    made.begin = viewBegin / width + *begin;
    made.place = place;
    if (m_heap.tensors.size() == kMaxPickledTensors)
        return refuse("more than a million tensors", place, ErrorCode::Unsupported);
    m_heap.tensors.push_back(std::move(made));
    return m_heap.add({.kind = PickleKind::Tensor, .number = static_cast<std::int64_t>(m_heap.tensors.size() - 1)});
}

}  // namespace quantloupe
