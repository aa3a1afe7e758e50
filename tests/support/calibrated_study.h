// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/study/calibrate_study.h"
#include "tests/support/golden_tokens.h"
#include "tests/support/text_windows.h"

#include <QTest>

#include <filesystem>

namespace quantloupe::tests {

/// The golden set's calibration sequences, whose last tokens are only predicted.
inline WindowedText calibrationWindows()
{
    auto windows = windowsOf(goldenTokens("tok_calib"));
    for (auto& window : windows.windows)
        --window.length;
    return windows;
}

/// A study of its own, calibrated on these.
inline void calibrateInto(const Model& model, const std::filesystem::path& path)
{
    const auto decoder = describeDecoder(model).value();
    auto study = Study::open(path, model);
    QVERIFY2(study, study ? "" : describe(study.error()).c_str());
    Progress progress;
    const auto done = calibrateStudy(**study, decoder, calibrationWindows(), "tok_calib", {}, {}, progress);
    QVERIFY2(done, done ? "" : describe(done.error()).c_str());
    QVERIFY((*study)->close().has_value());
}

}  // namespace quantloupe::tests
