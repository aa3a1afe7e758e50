// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/dialogs/calibrating_dialog.h"

#include "widgets/dialogs/job_row.h"
#include "widgets/plots/input_series_plot.h"
#include "widgets/support/format_text.h"

#include <QDialogButtonBox>
#include <QLabel>
#include <QVBoxLayout>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <iterator>

namespace {

template<class Figure>
std::vector<InputSeriesPlot::Point> series(const std::vector<CalibratedInput>& inputs, const Figure& figure)
{
    std::vector<InputSeriesPlot::Point> points;
    points.reserve(inputs.size());
    for (const auto& input : inputs)
        points.push_back({QString::fromStdString(input.layer), figure(input)});
    return points;
}

/// `many` has the number in place of %1.
QString counted(std::ptrdiff_t count, const QString& one, const QString& many)
{
    return count == 1 ? one : many.arg(format::integer(static_cast<std::uint64_t>(count)));
}

}  // namespace

CalibratingDialog::CalibratingDialog(const CalibratingRun& run, QWidget* parent)
    : QDialog(parent)
    , m_text(run.text)
    , m_soFar(run.soFar)
    , m_summary(new QLabel)
    , m_findings(new QLabel)
    , m_loudest(new LoudestChannelPlot)
    , m_moved(new MovedMomentsPlot)
{
    setWindowTitle(tr("Calibration on %1").arg(m_text));
    setAttribute(Qt::WA_DeleteOnClose);
    m_summary->setObjectName(QStringLiteral("summary"));
    m_findings->setObjectName(QStringLiteral("findings"));
    for (auto* label : {m_summary, m_findings})
        label->setWordWrap(true);
    auto* row = new JobRow(run.job);
    auto* buttons = new QDialogButtonBox(QDialogButtonBox::Close);
    auto* layout = new QVBoxLayout(this);
    layout->addWidget(m_summary);
    layout->addWidget(row);
    layout->addWidget(m_loudest, 1);
    layout->addWidget(m_moved, 1);
    layout->addWidget(m_findings);
    layout->addWidget(buttons);
    resize(760, 620);
    connect(row, &JobRow::advanced, this, &CalibratingDialog::takeNew);
    connect(row, &JobRow::ended, this, &CalibratingDialog::conclude);
    connect(buttons, &QDialogButtonBox::rejected, this, &QDialog::close);
    m_summary->setText(tr("Reading the text…"));
    takeNew();
}

void CalibratingDialog::takeNew()
{
    const auto more = m_soFar->since(m_inputs.size());
    if (more.empty())
        return;
    m_inputs.insert(m_inputs.end(), more.begin(), more.end());
    m_loudest->setData(series(m_inputs, [](const CalibratedInput& input) { return input.loudest; }));
    m_moved->setData(series(m_inputs, [](const CalibratedInput& input) { return 100.0 * input.moved; }));
    m_summary->setText(
        tr("%1; the last are those of %2.").arg(gathered(), QString::fromStdString(m_inputs.back().layer)));
    m_findings->setText(findings());
}

void CalibratingDialog::conclude(Job::State state)
{
    takeNew();
    if (state == Job::State::Failed) {
        close();  // the window says why
    } else if (state == Job::State::Cancelled) {
        m_summary->setText(tr("Stopped. %1; calibrating on the same text goes on from there.").arg(gathered()));
    } else if (m_inputs.empty()) {
        m_summary->setText(tr("Done. The inputs on this text were known before."));
    } else {
        m_summary->setText(tr("Done. %1.").arg(gathered()));
    }
}

QString CalibratingDialog::gathered() const
{
    return counted(std::ssize(m_inputs), tr("The inputs of one layer were gathered"), tr("%1 inputs were gathered"));
}

QString CalibratingDialog::findings() const
{
    QStringList sentences;
    const auto count = [this](const auto& is) { return std::count_if(m_inputs.begin(), m_inputs.end(), is); };
    if (const auto loud = count([](const CalibratedInput& input) { return input.outliers > 0; }); loud > 0)
        sentences << counted(loud, tr("One input has outlier channels."), tr("%1 inputs have outlier channels."));
    const auto moved =
        std::max_element(m_inputs.begin(), m_inputs.end(), [](const CalibratedInput& a, const CalibratedInput& b) {
            return !std::isnan(b.moved) && (std::isnan(a.moved) || a.moved < b.moved);
        });
    if (moved != m_inputs.end() && !std::isnan(moved->moved))
        sentences << tr("The figures moved by %1 at most, those of %2.")
                         .arg(format::percent(moved->moved), QString::fromStdString(moved->layer));
    if (const auto few = count([](const CalibratedInput& input) { return input.tokens > 0 && input.fewTokens; }))
        sentences << counted(few, tr("One input saw fewer tokens than it has channels: take a longer text for gptq."),
            tr("%1 inputs saw fewer tokens than they have channels: take a longer text for gptq."));
    if (const auto none = count([](const CalibratedInput& input) { return input.tokens == 0; }))
        sentences << counted(none, tr("No token was routed to one expert."), tr("No token was routed to %1 experts."));
    if (const auto silent = count([](const CalibratedInput& input) { return input.silentChannels > 0; }))
        sentences << counted(silent, tr("One input has channels that are silent on this text."),
            tr("%1 inputs have channels that are silent on this text."));
    return sentences.join(u' ');
}
