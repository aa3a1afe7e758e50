// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/base/error.h"
#include "core/base/mapped_file.h"

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <vector>

namespace quantloupe {

/// The residual stream of a whole text between two blocks: [tokens × hidden], in memory, or in a file that a run which
/// was killed goes on from. The file is only ever replaced as a whole:
///
///     8 bytes   "QLSTREAM"
///     32 bytes  identity of the run: model, text and all that its values depend on
///     3 × u64   the block that comes next, tokens, hidden
///     f32 …     the stream, token by token
///     32 bytes  XXH3-128 of everything before, hexadecimal
class ResidualStream
{
public:
    /// Takes the next values, in the order of the tokens.
    using Append = std::function<Result<void>(std::span<const float>)>;

    static ResidualStream inMemory(std::size_t tokens, std::size_t hidden);
    /// What lies in the file is gone on from where it is sound and of this identity (of 32 characters), else ignored.
    /// A stop leaves it as it is, and no values.
    static ResidualStream inFile(std::filesystem::path path, std::string identity, std::size_t tokens,
        std::size_t hidden, const std::stop_token& stop = {});

    /// Which block comes next; nothing while there are no values.
    std::optional<std::size_t> nextBlock() const { return m_nextBlock; }
    bool isInMemory() const { return m_path.empty(); }
    /// Forgets the values.
    void restart();
    /// Rows [first, first + count). @pre nextBlock()
    std::span<const float> rows(std::size_t first, std::size_t count) const;
    /// `produce` appends all values of the stream ahead of block `next`, reading the old ones meanwhile; they take the
    /// old ones' place, durably, once it has succeeded. Errors: CannotWrite, Cancelled, those of `produce`.
    Result<void> replace(
        std::size_t next, const std::function<Result<void>(const Append&)>& produce, const std::stop_token& stop = {});
    /// Removes the file.
    void remove();

private:
    ResidualStream(std::filesystem::path path, std::string identity, std::size_t tokens, std::size_t hidden);
    Result<void> writeFile(const std::filesystem::path& file, std::size_t next,
        const std::function<Result<void>(const Append&)>& produce, const std::stop_token& stop) const;
    Result<void> replaceInMemory(
        const std::function<Result<void>(const Append&)>& produce, const std::stop_token& stop);
    /// Maps the file. `trusted`: it has just been written, its checksum need not be computed again.
    bool read(bool trusted, const std::stop_token& stop);

    std::filesystem::path m_path;  ///< empty: in memory
    std::string m_identity;
    std::size_t m_tokens, m_hidden;
    std::optional<std::size_t> m_nextBlock;
    std::vector<float> m_values;
    std::shared_ptr<const MappedFile> m_file;
    std::span<const float> m_stream;  ///< of either
};

}  // namespace quantloupe
