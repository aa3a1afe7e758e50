// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/base/error.h"
#include "core/calibration/layer_inputs.h"
#include "core/study/study.h"

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>

namespace quantloupe {

/// What calibration left in a study, layer by layer, as the algorithms take it. Nothing is read before it is asked for,
/// and nothing is kept: layers that read the same inputs share one LayerInputs for as long as anybody holds it. All
/// members may be called from any thread.
class StoredLayerInputs
{
public:
    /// `path` is the study's file, beside which the folder of the large parts lies.
    StoredLayerInputs(StudyPointer study, std::filesystem::path path);

    /// Whether calibration saw a token go through this layer. `expert`: which matrix of a tensor that is a stack of
    /// experts; nothing for every other tensor.
    bool has(const std::string& tensor, std::optional<std::uint32_t> expert = std::nullopt) const;

    /// The inputs of a tensor's layer, all parts of them: columns² doubles, so hold few at a time. Without moments and
    /// sample where calibration was asked to leave them out.
    /// Errors: InvalidArgument (calibration has not seen the layer), CannotOpen (the file beside the study is missing),
    /// Truncated, Malformed (it is damaged), Conflict (it is not the one that the study was saved with), Cancelled.
    Result<std::shared_ptr<const LayerInputs>> load(const std::string& tensor,
        std::optional<std::uint32_t> expert = std::nullopt, const std::stop_token& stop = {}) const;

private:
    StudyPointer m_study;
    std::filesystem::path m_path;
    mutable std::mutex m_mutex;
    mutable std::map<std::string, std::weak_ptr<const LayerInputs>> m_shared;  ///< by file
};

}  // namespace quantloupe
