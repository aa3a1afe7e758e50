// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/file_formats/pickle_machine.h"

#include "core/base/byte_cursor.h"
#include "core/file_formats/pickle_calls.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <utility>

namespace quantloupe {
namespace {

constexpr std::uint64_t kMaxOperations = 50'000'000;
constexpr std::size_t kMaxValues = 20'000'000, kMaxStack = 1'000'000, kMaxWideInteger = 16;

enum Opcode : std::uint8_t {
    opMark = '(',
    opStop = '.',
    opBinFloat = 'G',
    opBinInt = 'J',
    opBinInt1 = 'K',
    opBinInt2 = 'M',
    opNone = 'N',
    opBinPersId = 'Q',
    opReduce = 'R',
    opBinString = 'T',
    opShortBinString = 'U',
    opBinUnicode = 'X',
    opBinBytes = 'B',
    opShortBinBytes = 'C',
    opEmptyList = ']',
    opAppend = 'a',
    opBuild = 'b',
    opGlobal = 'c',
    opAppends = 'e',
    opBinGet = 'h',
    opLongBinGet = 'j',
    opBinPut = 'q',
    opLongBinPut = 'r',
    opSetItem = 's',
    opTuple = 't',
    opSetItems = 'u',
    opEmptyTuple = ')',
    opEmptyDict = '}',
    opProto = 0x80,
    opNewObj = 0x81,
    opTuple1 = 0x85,
    opTuple2 = 0x86,
    opTuple3 = 0x87,
    opNewTrue = 0x88,
    opNewFalse = 0x89,
    opLong1 = 0x8a,
    opShortBinUnicode = 0x8c,
    opBinUnicode8 = 0x8d,
    opEmptySet = 0x8f,
    opStackGlobal = 0x93,
    opMemoize = 0x94,
    opFrame = 0x95,
};

class PickleMachine
{
public:
    PickleMachine(Bytes bytes, const std::string& where, std::uint64_t base)
        : m_cursor(bytes)
        , m_where(where)
        , m_base(base)
        , m_heap(bytes)
        , m_calls(m_heap, where)
    {
        m_heap.add({.kind = PickleKind::None});
        m_heap.add({.kind = PickleKind::Boolean});
        m_heap.add({.kind = PickleKind::Boolean, .number = 1});
        m_heap.add({.kind = PickleKind::Tuple});
    }

    Result<Pickle> run()
    {
        for (std::uint64_t operations = 0;; ++operations) {
            m_place = m_base + m_cursor.offset();
            const auto opcode = m_cursor.read<std::uint8_t>();
            if (!opcode)
                return truncated();
            if (*opcode == opStop)
                break;
            if (auto done = step(*opcode); !done)
                return tl::unexpected(std::move(done.error()));
            if (operations == kMaxOperations || m_heap.size() > kMaxValues || m_stack.size() > kMaxStack)
                return refuse("a pickle of more operations or values than are read", ErrorCode::Unsupported);
        }
        const auto top = pop();
        if (!top)
            return tl::unexpected(top.error());
        return Pickle {std::move(m_heap), *top, m_cursor.offset()};
    }

private:
    static constexpr PickleRef kNone = 0, kFalse = 1, kTrue = 2, kEmptyTuple = 3;

    tl::unexpected<Error> refuse(std::string reason, ErrorCode code = ErrorCode::Malformed) const
    {
        return failure(code, m_where, std::move(reason), m_place);
    }
    tl::unexpected<Error> truncated() const { return refuse("the pickle ends too soon", ErrorCode::Truncated); }

    Result<PickleRef> pop()
    {
        if (m_stack.empty() || (!m_marks.empty() && m_marks.back() == m_stack.size()))
            return refuse("the pickle takes a value where there is none");
        const auto value = m_stack.back();
        m_stack.pop_back();
        return value;
    }

    Result<void> push(PickleRef value)
    {
        m_stack.push_back(value);
        return {};
    }

    Result<void> push(const Result<PickleRef>& value)
    {
        if (!value)
            return tl::unexpected(value.error());
        return push(*value);
    }

    Result<void> pushInteger(std::optional<std::int64_t> number)
    {
        if (!number)
            return truncated();
        return push(m_heap.add({.kind = PickleKind::Integer, .number = *number}));
    }

    /// Values above the last mark, which goes.
    Result<std::vector<PickleRef>> popToMark()
    {
        if (m_marks.empty())
            return refuse("the pickle looks for a mark where there is none");
        const auto first = m_stack.begin() + static_cast<std::ptrdiff_t>(m_marks.back());
        std::vector<PickleRef> values(first, m_stack.end());
        m_stack.erase(first, m_stack.end());
        m_marks.pop_back();
        return values;
    }

    Result<std::vector<PickleRef>> popCount(std::size_t count)
    {
        std::vector<PickleRef> values(count);
        for (auto i = count; i-- > 0;) {
            auto value = pop();
            if (!value)
                return tl::unexpected(std::move(value.error()));
            values[i] = *value;
        }
        return values;
    }

    Result<void> pushTuple(const Result<std::vector<PickleRef>>& items)
    {
        if (!items)
            return tl::unexpected(items.error());
        const auto made = m_heap.add({.kind = PickleKind::Tuple});
        for (const auto item : *items)
            m_heap.append(made, item);
        return push(made);
    }

    /// Appends to the container on top of the stack.
    Result<void> fill(const Result<std::vector<PickleRef>>& items, PickleKind kind)
    {
        if (!items)
            return tl::unexpected(items.error());
        const auto container = pop();
        if (!container)
            return tl::unexpected(container.error());
        const auto found = m_heap[*container].kind;
        if (found != kind && found != PickleKind::Opaque)
            return refuse("the pickle puts values into what does not hold them");
        if (kind == PickleKind::Mapping && items->size() % 2 != 0)
            return refuse("the pickle sets a key without a value");
        if (found == kind)
            for (const auto item : *items)
                m_heap.append(*container, item);
        return push(*container);
    }

    template<class Length>
    Result<void> pushText(PickleKind kind = PickleKind::Text)
    {
        const auto length = m_cursor.read<Length>();
        const auto begin = m_cursor.offset();
        if (!length || !m_cursor.take(*length))
            return truncated();
        if (std::uint64_t {*length} > 0xFFFF'FFFFU)
            return refuse("a text of more than 4 GiB", ErrorCode::Unsupported);
        if constexpr (sizeof(Length) == 1)
            if (kind == PickleKind::WideInteger)
                return pushWide(begin, *length);
        return push(m_heap.add(
            {.kind = kind, .size = static_cast<std::uint32_t>(*length), .number = static_cast<std::int64_t>(begin)}));
    }

    /// Two's complement, least significant byte first.
    Result<void> pushWide(std::uint64_t begin, std::size_t length)
    {
        if (length > kMaxWideInteger)
            return refuse("a whole number of more than 16 bytes", ErrorCode::Unsupported);
        const auto made = m_heap.add({.kind = PickleKind::WideInteger,
            .size = static_cast<std::uint32_t>(length),
            .number = static_cast<std::int64_t>(begin)});
        if (length > sizeof(std::int64_t))
            return push(made);
        const auto text = m_heap.text(made);
        std::uint64_t bits = length > 0 && (static_cast<unsigned char>(text.back()) & 0x80U) ? ~std::uint64_t {0} : 0;
        for (auto i = length; i-- > 0;)
            bits = bits << 8U | static_cast<unsigned char>(text[i]);
        return pushInteger(static_cast<std::int64_t>(bits));
    }

    /// Memos are numbered as they come, by every writer; so their numbers cannot ask for memory.
    Result<void> put(std::optional<std::uint64_t> key)
    {
        if (!key)
            return truncated();
        if (m_stack.empty())
            return refuse("the pickle takes a value where there is none");
        if (*key > m_memo.size() + 256 || *key >= kMaxValues)
            return refuse("a memo of a number that is far from the others");
        if (*key >= m_memo.size())
            m_memo.resize(*key + 1, kUnset);
        m_memo[*key] = m_stack.back();
        return {};
    }

    Result<void> get(std::optional<std::uint64_t> key)
    {
        if (!key)
            return truncated();
        if (*key >= m_memo.size() || m_memo[*key] == kUnset)
            return refuse("the pickle recalls a memo that was never made");
        return push(m_memo[*key]);
    }

    std::optional<std::string_view> line()
    {
        auto ahead = m_cursor;
        std::uint64_t length = 0;
        for (std::optional<char> character; (character = ahead.read<char>()) && *character != '\n';)
            ++length;
        const auto text = m_cursor.take(length);
        if (!m_cursor.take(1))
            return std::nullopt;
        return std::string_view(reinterpret_cast<const char*>(text->data()), text->size());
    }

    Result<void> global()
    {
        const auto module = line();
        const auto name = module ? line() : std::nullopt;
        if (!name)
            return truncated();
        return push(m_calls.global(*module, *name, m_place));
    }

    Result<void> stackGlobal()
    {
        const auto names = popCount(2);
        if (!names)
            return tl::unexpected(names.error());
        const auto isText = [&](PickleRef value) { return m_heap[value].kind == PickleKind::Text; };
        if (!isText((*names)[0]) || !isText((*names)[1]))
            return refuse("names something by values that are not texts");
        return push(m_calls.global(m_heap.text((*names)[0]), m_heap.text((*names)[1]), m_place));
    }

    /// REDUCE, NEWOBJ and BUILD: something and what is done to it with.
    Result<void> pair(std::uint8_t opcode)
    {
        const auto operands = popCount(2);
        if (!operands)
            return tl::unexpected(operands.error());
        const auto first = (*operands)[0], second = (*operands)[1];
        if (opcode == opReduce)
            return push(m_calls.call(first, second, m_place));
        if (opcode == opNewObj)
            return push(m_calls.create(first, second, m_place));
        if (auto built = m_calls.setState(first, second, m_place); !built)
            return built;
        return push(first);
    }

    Result<void> persistentId()
    {
        const auto id = pop();
        if (!id)
            return tl::unexpected(id.error());
        return push(m_calls.storage(*id, m_place));
    }

    Result<void> step(std::uint8_t opcode)
    {
        switch (opcode) {
        case opProto:
            if (const auto version = m_cursor.read<std::uint8_t>(); !version)
                return truncated();
            else if (*version < 2 || *version > 5)
                return refuse("a pickle of protocol " + std::to_string(*version), ErrorCode::Unsupported);
            return {};
        case opFrame:
            if (!m_cursor.read<std::uint64_t>())
                return truncated();
            return {};
        case opMark:
            if (m_marks.size() == kMaxStack)
                return refuse("a pickle of more than a million marks", ErrorCode::Unsupported);
            m_marks.push_back(m_stack.size());
            return {};
        case opNone: return push(kNone);
        case opNewTrue: return push(kTrue);
        case opNewFalse: return push(kFalse);
        case opEmptyTuple: return push(kEmptyTuple);
        case opEmptyList: return push(m_heap.add({.kind = PickleKind::List}));
        case opEmptyDict: return push(m_heap.add({.kind = PickleKind::Mapping}));
        case opEmptySet: return push(m_heap.add({.kind = PickleKind::Opaque}));
        case opBinInt: return pushInteger(m_cursor.read<std::int32_t>());
        case opBinInt1: return pushInteger(m_cursor.read<std::uint8_t>());
        case opBinInt2: return pushInteger(m_cursor.read<std::uint16_t>());
        case opBinFloat:
            if (!m_cursor.take(8))
                return truncated();
            return push(m_heap.add({.kind = PickleKind::Real}));
        case opLong1: return pushText<std::uint8_t>(PickleKind::WideInteger);
        case opShortBinString:
        case opShortBinBytes:
        case opShortBinUnicode: return pushText<std::uint8_t>();
        case opBinString:
        case opBinBytes:
        case opBinUnicode: return pushText<std::uint32_t>();
        case opBinUnicode8: return pushText<std::uint64_t>();
        case opTuple: return pushTuple(popToMark());
        case opTuple1: return pushTuple(popCount(1));
        case opTuple2: return pushTuple(popCount(2));
        case opTuple3: return pushTuple(popCount(3));
        case opAppend: return fill(popCount(1), PickleKind::List);
        case opAppends: return fill(popToMark(), PickleKind::List);
        case opSetItem: return fill(popCount(2), PickleKind::Mapping);
        case opSetItems: return fill(popToMark(), PickleKind::Mapping);
        case opBinPut: return put(m_cursor.read<std::uint8_t>());
        case opLongBinPut: return put(m_cursor.read<std::uint32_t>());
        case opMemoize: return put(m_memo.size());
        case opBinGet: return get(m_cursor.read<std::uint8_t>());
        case opLongBinGet: return get(m_cursor.read<std::uint32_t>());
        case opGlobal: return global();
        case opStackGlobal: return stackGlobal();
        case opBinPersId: return persistentId();
        case opReduce:
        case opNewObj:
        case opBuild: return pair(opcode);
        default: break;
        }
        std::array<char, 8> hex {};
        std::snprintf(hex.data(), hex.size(), "0x%02X", opcode);
        return refuse(std::string("the pickle has the operation ") + hex.data() + ", which weights do not need",
            ErrorCode::Unsupported);
    }

    static constexpr PickleRef kUnset = ~PickleRef {0};

    ByteCursor m_cursor;
    const std::string& m_where;
    std::uint64_t m_base;
    std::uint64_t m_place = 0;  ///< of the operation, in the file
    PickleHeap m_heap;
    PickleCalls m_calls;
    std::vector<PickleRef> m_stack;
    std::vector<std::size_t> m_marks;  ///< heights of the stack
    std::vector<PickleRef> m_memo;
};

}  // namespace

Result<Pickle> readPickle(Bytes bytes, const std::string& where, std::uint64_t base)
{
    return PickleMachine(bytes, where, base).run();
}

}  // namespace quantloupe
