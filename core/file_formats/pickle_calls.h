// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/file_formats/pickle_globals.h"
#include "core/file_formats/pickle_values.h"

#include <map>
#include <utility>

namespace quantloupe {

/// What the calls in a pickle come to, as far as they are about tensors.
class PickleCalls
{
public:
    PickleCalls(PickleHeap& heap, const std::string& where)
        : m_heap(heap)
        , m_where(where)
    {
    }

    /// A name: refused if it runs code. `place` is the byte of the file that names it, as in what follows.
    Result<PickleRef> global(std::string_view module, std::string_view name, std::uint64_t place);

    /// The value of `function` called with the tuple `arguments`.
    Result<PickleRef> call(PickleRef function, PickleRef arguments, std::uint64_t place);

    /// A new object of a class, with the tuple `arguments`.
    Result<PickleRef> create(PickleRef type, PickleRef arguments, std::uint64_t place);

    /// Gives an object its state.
    Result<void> setState(PickleRef object, PickleRef state, std::uint64_t place);

    /// What a persistent id, a tuple, stands for: a storage.
    Result<PickleRef> storage(PickleRef id, std::uint64_t place);

private:
    Result<PickleRef> tensor(
        const PickleGlobal& function, const std::vector<PickleRef>& arguments, std::uint64_t place);
    Result<PickleRef> mapping(const std::vector<PickleRef>& arguments, std::uint64_t place);
    std::optional<std::vector<std::uint64_t>> numbers(PickleRef tuple) const;
    std::optional<std::uint64_t> number(PickleRef value) const;
    const PickleGlobal* globalOf(PickleRef value) const;
    tl::unexpected<Error> refuse(std::string reason, std::uint64_t place, ErrorCode code = ErrorCode::Malformed) const;

    PickleHeap& m_heap;
    const std::string& m_where;
    std::vector<PickleGlobal> m_globals;
    std::map<std::pair<std::string_view, std::string_view>, PickleRef> m_named;  ///< each once
    std::size_t m_pairs = 0;                                                     ///< taken from lists so far
};

}  // namespace quantloupe
