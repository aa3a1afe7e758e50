// SPDX-License-Identifier: GPL-3.0-or-later
// A workbench with the bundled sample open and swept, its study in a temporary folder.
#pragma once

#include "widgets/workbench/workbench.h"

#include <QSignalSpy>
#include <QTemporaryDir>
#include <QTest>

#include <memory>

namespace quantloupe::tests {

class SampleWorkbench
{
public:
    /// Opens the sample; false after a while without it.
    bool open()
    {
        qputenv("QUANTLOUPE_DATA", m_folder.path().toUtf8());
        if (!qEnvironmentVariableIsSet("QUANTLOUPE_RESOURCES"))
            qputenv("QUANTLOUPE_RESOURCES", QUANTLOUPE_SOURCE_DIR "/resources");
        workbench = std::make_unique<Workbench>();
        QSignalSpy opened(workbench.get(), &Workbench::modelChanged);
        workbench->openSample();
        return (workbench->hasModel() || opened.wait(20000)) && workbench->hasModel();
    }

    bool sweep(std::initializer_list<const char*> schemes)
    {
        std::vector<Scheme> sweep;
        for (const char* text : schemes)
            sweep.push_back(Scheme::parse(text).value());
        workbench->setSweep(sweep);
        workbench->analyze();
        return QTest::qWaitFor([this] { return !workbench->isAnalyzing(); }, 60000)
            && !workbench->study()->measurements.empty();
    }

private:
    QTemporaryDir m_folder;

public:
    std::unique_ptr<Workbench> workbench;  // before the folder: its study lies there
};

}  // namespace quantloupe::tests
