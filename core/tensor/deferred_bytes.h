// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/base/mapped_file.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <stop_token>
#include <vector>

namespace quantloupe {

/// Takes the next bytes, in order.
using ByteSink = std::function<Result<void>(Bytes)>;

/// Bytes of a tensor that do not lie in its file as they are: a deflated member of an archive, a chunked dataset. They
/// are unpacked when first asked for, into a temporary file without a name, and dropped with the last holder: memory
/// does not grow with the model, and the disk holds what is being worked on.
class DeferredBytes
{
public:
    explicit DeferredBytes(std::uint64_t size)
        : m_size(size)
    {
    }
    virtual ~DeferredBytes() = default;
    DeferredBytes(const DeferredBytes&) = delete;
    DeferredBytes& operator=(const DeferredBytes&) = delete;

    std::uint64_t size() const { return m_size; }

    /// What tells these bytes from others of the same size without unpacking them, for fingerprints: a checksum that
    /// the source keeps. 0 where it keeps none.
    virtual std::uint64_t digest() const { return 0; }

    /// Likewise, where it keeps none: the bytes in the file that these are unpacked from, or some of them.
    virtual std::vector<Bytes> storedBytes() const { return {}; }

    /// Unpacks them unless someone holds them already. Thread-safe; others who ask meanwhile wait. Errors: those of the
    /// source, CannotWrite (no room for the temporary file), Malformed (more or fewer bytes than size()), Cancelled.
    Result<std::shared_ptr<const MappedFile>> hold(std::stop_token stop) const;

    /// The bytes, if anyone holds them.
    std::shared_ptr<const MappedFile> held() const;

protected:
    /// Hands all bytes to `sink`, in pieces, asking `stop` between them. `sink` fails when there are too many.
    virtual Result<void> produce(const ByteSink& sink, std::stop_token stop) const = 0;

    /// Names the source in errors: "weights.npz, member 'w.npy'".
    virtual std::string where() const = 0;

private:
    std::uint64_t m_size;
    mutable std::timed_mutex m_mutex;
    mutable std::weak_ptr<const MappedFile> m_held;
};

}  // namespace quantloupe
