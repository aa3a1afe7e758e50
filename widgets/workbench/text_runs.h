// SPDX-License-Identifier: GPL-3.0-or-later
// Runs on text under way, for those who watch them.
#pragma once

#include "core/inference/evaluate.h"
#include "widgets/workbench/live_list.h"

#include <QString>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

class Job;

/// The job may be gone as soon as it has ended.
template<class T>
struct TextRun {
    QString text;  ///< name of the file
    Job* job = nullptr;
    std::shared_ptr<const LiveList<T>> soFar;
};

/// What is known of an evaluation; of a run that has finished the last is the whole.
struct EvaluationState {
    quantloupe::Evaluation evaluation;
    std::vector<double> alphas;  ///< of norms that divide, ascending
};
using EvaluationRun = TextRun<EvaluationState>;

/// What a calibration has come to know of some inputs.
struct CalibratedInput {
    std::string layer;         ///< the first that reads them
    std::uint64_t tokens = 0;  ///< 0: none was routed to it
    double loudest = 0.0;      ///< InputProfile::ratio() of the loudest channel; NaN without tokens
    double moved = 0.0;        ///< InputQuality::squaresMoved
    std::size_t outliers = 0, silentChannels = 0;
    bool fewTokens = false;  ///< InputQuality
};
using CalibratingRun = TextRun<CalibratedInput>;
