// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/file_formats/model_assembly.h"
#include "core/file_formats/torch_state.h"

#include <functional>
#include <span>

namespace quantloupe {

/// Makes one model of PyTorch files, in the order given: one file, or all shards of a checkpoint.
/// Errors: as readZipDirectory(), readPickle() and findTorchState(), for the file concerned.
Result<Model> readTorchFiles(std::span<const MappedFilePointer> files);

/// Bytes of a storage: on the map, or packed in their archive.
struct TorchStorageBytes {
    Bytes bytes {};
    std::uint64_t offset = 0;                                                            ///< in the file
    std::function<std::shared_ptr<const DeferredBytes>(std::uint64_t first)> unpack {};  ///< where packed
};

/// A file's tensors and what gives their bytes. The finder is asked for storages of the tensors alone.
struct TorchContent {
    Pickle pickle;
    TorchState state;
    std::function<Result<TorchStorageBytes>(const PickledStorage&)> storage;
    std::vector<std::pair<std::string, std::string>> metadata {};
};

/// A file as written since PyTorch 1.6, a zip archive; also of TorchScript. Source: interop notes, section 5.1.
Result<TorchContent> readTorchZip(const MappedFilePointer& file);

/// A file as written before, a series of pickles. Source: interop notes, section 5.6.
Result<TorchContent> readTorchStream(const MappedFilePointer& file);
bool isTorchStream(Bytes head);

}  // namespace quantloupe
