// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/pages/model_card.h"

#include "widgets/support/format_text.h"
#include "widgets/theme/fonts.h"

#include <QEvent>
#include <QFileInfo>
#include <QGridLayout>
#include <QLabel>
#include <QLayoutItem>
#include <QVBoxLayout>

#include <algorithm>
#include <map>

namespace {

/// Figures side by side before the next line begins.
constexpr int figuresPerLine = 4;
/// Warnings shown in full; the rest are counted.
constexpr std::size_t mostWarnings = 6;

/// "BF16 (291), F32 (65)": most bytes first.
QString dtypesText(const quantloupe::ModelCatalog& catalog)
{
    std::map<quantloupe::DType, std::pair<std::uint64_t, int>> sums;
    for (const auto& tensor : catalog.tensors) {
        sums[tensor.dtype].first += tensor.bytes;
        ++sums[tensor.dtype].second;
    }
    std::vector<std::pair<std::uint64_t, QString>> parts;
    for (const auto& [dtype, sum] : sums) {
        const auto name = nameOf(dtype);
        parts.emplace_back(sum.first,
            QStringLiteral("%1 (%2)")
                .arg(QString::fromUtf8(name.data(), static_cast<qsizetype>(name.size())))
                .arg(sum.second));
    }
    std::sort(parts.begin(), parts.end(), [](const auto& a, const auto& b) { return a.first > b.first; });
    QStringList texts;
    for (const auto& part : parts)
        texts << part.second;
    return texts.join(QStringLiteral(", "));
}

QString shapeText(const quantloupe::ModelConfig& config)
{
    QStringList parts;
    if (config.layers)
        parts << ModelCard::tr("blocks %1").arg(*config.layers);
    if (config.hiddenSize)
        parts << ModelCard::tr("width %1").arg(QLocale().toString(static_cast<qulonglong>(*config.hiddenSize)));
    if (config.heads)
        parts << ModelCard::tr("heads %1").arg(*config.heads);
    if (config.experts)
        parts << ModelCard::tr("experts %1").arg(*config.experts);
    return parts.isEmpty() ? format::none() : parts.join(QStringLiteral(", "));
}

}  // namespace

ModelCard::ModelCard(QWidget* parent)
    : QFrame(parent)
    , m_name(new QLabel)
    , m_path(new QLabel)
    , m_synthetic(
          new QLabel(tr("Synthetic model: a generator made these weights. Its figures show how the program works, "
                        "they say nothing about a trained model.")))
    , m_warnings(new QLabel)
    , m_figures(new QGridLayout)
{
    setFrameShape(QFrame::StyledPanel);
    setBackgroundRole(QPalette::Base);
    setAutoFillBackground(true);
    m_path->setForegroundRole(QPalette::PlaceholderText);
    for (auto* label : {m_name, m_path, m_synthetic, m_warnings}) {
        label->setTextFormat(Qt::PlainText);
        label->setWordWrap(true);
        label->setTextInteractionFlags(Qt::TextSelectableByMouse);
    }
    m_figures->setHorizontalSpacing(28);
    m_figures->setVerticalSpacing(2);
    m_figures->setColumnStretch(figuresPerLine, 1);

    auto* layout = new QVBoxLayout(this);
    layout->setContentsMargins(14, 12, 14, 12);
    layout->setSpacing(6);
    layout->addWidget(m_name);
    layout->addWidget(m_path);
    layout->addLayout(m_figures);
    layout->addWidget(m_synthetic);
    layout->addWidget(m_warnings);
    styleHeading();
}

void ModelCard::addFigure(const QString& name, const QString& value, const QString& explanation)
{
    auto* caption = new QLabel(name);
    caption->setForegroundRole(QPalette::PlaceholderText);
    caption->setFont(scaledFont(font(), 0.9));
    auto* text = new QLabel(value);
    text->setTextInteractionFlags(Qt::TextSelectableByMouse);
    text->setFont(tabularFont(font()));
    for (auto* label : {caption, text}) {
        label->setTextFormat(Qt::PlainText);
        label->setToolTip(explanation);
    }
    const int row = m_count / figuresPerLine * 2;
    const int column = m_count % figuresPerLine;
    m_figures->addWidget(caption, row, column);
    m_figures->addWidget(text, row + 1, column);
    ++m_count;
}

void ModelCard::setModel(const quantloupe::ModelCatalog& catalog, const quantloupe::Plan& plan)
{
    while (auto* item = m_figures->takeAt(0)) {
        delete item->widget();
        delete item;
    }
    m_count = 0;
    const QFileInfo file(QString::fromStdString(catalog.path));
    m_name->setText(file.fileName().isEmpty() ? file.filePath() : file.fileName());
    m_path->setText(file.filePath());
    const auto architecture = QString::fromStdString(catalog.config.architecture);
    addFigure(tr("Architecture"), architecture.isEmpty() ? tr("not said") : architecture,
        tr("What the checkpoint says about itself, in config.json or its metadata."));
    addFigure(tr("Parameters"), format::count(catalog.parameters()), format::integer(catalog.parameters()));
    addFigure(tr("Shape"), shapeText(catalog.config));
    addFigure(tr("Stored as"), dtypesText(catalog), tr("Element types with the number of tensors, most bytes first."));
    addFigure(tr("Format"), QString::fromStdString(catalog.format));
    addFigure(
        tr("Size as stored"), format::bytes(catalog.bytes()), tr("%1 bytes").arg(format::integer(catalog.bytes())));
    addFigure(tr("Size under the recipe"),
        QStringLiteral("%1 (%2)").arg(format::bytes(plan.bytes), format::bitsPerWeight(plan.bitsPerWeight)),
        tr("Scales, zero points, padding and kept tensors included."));
    addFigure(tr("Tensors"),
        tr("%1, %2 can be quantized")
            .arg(QLocale().toString(static_cast<qulonglong>(catalog.tensors.size())))
            .arg(std::count_if(catalog.tensors.begin(), catalog.tensors.end(),
                [](const auto& tensor) { return tensor.quantizable; })));
    m_synthetic->setVisible(catalog.synthetic);

    QStringList warnings;
    for (const auto& warning : catalog.warnings) {
        if (static_cast<std::size_t>(warnings.size()) == mostWarnings)
            break;
        warnings << QStringLiteral("⚠ ") + QString::fromStdString(warning);
    }
    if (catalog.warnings.size() > mostWarnings)
        warnings << tr("and %n more", nullptr, static_cast<int>(catalog.warnings.size() - mostWarnings));
    m_warnings->setText(warnings.join(u'\n'));
    m_warnings->setVisible(!warnings.isEmpty());
}

void ModelCard::changeEvent(QEvent* event)
{
    if (event->type() == QEvent::FontChange)
        styleHeading();
    QFrame::changeEvent(event);
}

void ModelCard::styleHeading()
{
    m_name->setFont(scaledFont(font(), 1.35, true));
    m_synthetic->setFont(scaledFont(font(), 1.0, true));
}
