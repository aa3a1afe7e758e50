// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/docks/scheme_editor.h"

#include "core/schemes/format_traits.h"
#include "widgets/docks/scheme_choices.h"
#include "widgets/docks/scheme_more_menu.h"

#include <QAbstractItemView>
#include <QComboBox>
#include <QHBoxLayout>
#include <QPushButton>
#include <QStandardItemModel>

#include <utility>

using quantloupe::Format;
using quantloupe::Scheme;

namespace {

/// Offers these values and shows the current one; a value of the notation that is not offered gets an entry of its own.
template<class T>
void showValue(QComboBox* combo, QVector<T>& known, QVector<T> offered, const T& value)
{
    const bool taken = !offered.isEmpty();
    if (taken && !offered.contains(value))
        offered << value;
    if (offered != known || combo->count() != known.size()) {
        known = std::move(offered);
        combo->clear();
        for (const auto& entry : std::as_const(known))
            combo->addItem(textOf(entry));
    }
    combo->setEnabled(taken);
    combo->setCurrentIndex(static_cast<int>(known.indexOf(value)));
}

/// As wide as its longest usual entry, whatever it offers at the moment: the controls beside it stay where they are.
QComboBox* makeCombo(
    QWidget* parent, const QString& objectName, const QString& name, const QString& toolTip, const QStringList& longest)
{
    auto* combo = new QComboBox(parent);
    combo->setObjectName(objectName);
    combo->setAccessibleName(name);
    combo->setToolTip(toolTip);
    combo->addItems(longest);
    const int width = combo->sizeHint().width();
    combo->clear();
    combo->setSizeAdjustPolicy(QComboBox::AdjustToMinimumContentsLengthWithIcon);
    combo->setMinimumContentsLength(1);
    combo->setMinimumWidth(width);
    combo->setPlaceholderText(QStringLiteral("–"));
    return combo;
}

}  // namespace

SchemeEditor::SchemeEditor(QWidget* parent)
    : QWidget(parent)
    , m_format(makeCombo(this, QStringLiteral("format"), tr("Number format"), tr("The numbers that weights become."),
          {QStringLiteral("mxfp8_e4m3")}))
    , m_granularity(makeCombo(this, QStringLiteral("granularity"), tr("Granularity"),
          tr("Which weights share one scale: fewer per scale lower the error and cost bits."),
          {textOf(quantloupe::Granularity {quantloupe::Granularity::Kind::Channel, 0, 0}),
              textOf(quantloupe::Granularity {quantloupe::Granularity::Kind::Block, 128, 128})}))
    , m_symmetry(makeCombo(this, QStringLiteral("symmetry"), tr("Symmetry"),
          tr("Where zero lies: sym and symf are centred, asym has an integer zero point, asymf a floating minimum."),
          {textOf(quantloupe::Symmetry::AsymmetricFloat)}))
    , m_range(makeCombo(this, QStringLiteral("range"), tr("Range"),
          tr("How the range of a scale is chosen: all values, a percentile, what gives the least squared error, or "
             "what "
             "keeps the most information (entropy)."),
          {textOf(quantloupe::RangeEstimator {quantloupe::RangeEstimator::Kind::Mse, 100.0}),
              textOf(quantloupe::RangeEstimator {quantloupe::RangeEstimator::Kind::Percentile, 99.99})}))
    , m_more(new QPushButton(this))
    , m_menu(new SchemeMoreMenu(this))
{
    fillFormats();
    m_more->setObjectName(QStringLiteral("more"));
    m_more->setAccessibleName(tr("Algorithms and scale storage"));
    m_more->setMenu(m_menu);
    m_more->setText(tr("+%n algorithms", nullptr, 2));
    m_more->setMinimumWidth(m_more->sizeHint().width());

    auto* layout = new QHBoxLayout(this);
    layout->setContentsMargins(0, 0, 0, 0);
    layout->setSpacing(4);
    for (auto* combo : {m_format, m_granularity, m_symmetry, m_range})
        layout->addWidget(combo);
    layout->addWidget(m_more);
    setFocusProxy(m_format);
    connect(m_format, &QComboBox::activated, this, [this] {
        const auto format = static_cast<Format>(m_format->currentData().toInt());
        if (format != m_scheme.format)
            change(withFormat(m_scheme, format));
    });
    connectPart(m_granularity, &SchemeEditor::m_granularities, &Scheme::granularity);
    connectPart(m_symmetry, &SchemeEditor::m_symmetries, &Scheme::symmetry);
    connectPart(m_range, &SchemeEditor::m_ranges, &Scheme::range);
    connect(m_menu, &SchemeMoreMenu::edited, this, &SchemeEditor::change);
    show();
}

template<class T>
void SchemeEditor::connectPart(QComboBox* combo, QVector<T> SchemeEditor::*offered, T Scheme::*part)
{
    connect(combo, &QComboBox::activated, this, [this, offered, part](int index) {
        const auto& values = this->*offered;
        if (index < 0 || index >= values.size())
            return;
        auto changed = m_scheme;
        changed.*part = values[index];
        if (changed != m_scheme)
            change(changed);
    });
}

void SchemeEditor::fillFormats()
{
    auto* model = qobject_cast<QStandardItemModel*>(m_format->model());
    auto headingFont = m_format->font();
    headingFont.setBold(true);
    headingFont.setPointSizeF(headingFont.pointSizeF() * 0.9);
    const auto groups = formatGroups();
    for (const auto& group : groups) {
        auto* heading = new QStandardItem(group.title);
        heading->setFlags(Qt::NoItemFlags);
        heading->setFont(headingFont);
        heading->setToolTip(group.explanation);
        model->appendRow(heading);
        for (const auto format : group.formats) {
            m_format->addItem(wordText(nameOf(format)), static_cast<int>(format));
            m_format->setItemData(
                m_format->count() - 1, explanationOf(format) + u'\n' + group.explanation, Qt::ToolTipRole);
        }
    }
    m_format->setMaxVisibleItems(24);
    m_format->view()->setMinimumWidth(m_format->view()->sizeHintForColumn(0) + m_format->fontMetrics().height() * 2);
}

void SchemeEditor::setCalibration(quantloupe::Calibration calibration)
{
    m_menu->setCalibration(calibration);
}

void SchemeEditor::setScheme(const Scheme& scheme)
{
    if (scheme == m_scheme)
        return;
    m_scheme = scheme;
    show();
}

void SchemeEditor::show()
{
    auto format = m_format->findData(static_cast<int>(m_scheme.format));
    if (format < 0) {
        m_format->addItem(wordText(nameOf(m_scheme.format)), static_cast<int>(m_scheme.format));
        format = m_format->count() - 1;
    }
    m_format->setCurrentIndex(format);
    m_granularity->setPlaceholderText(quantloupe::traitsOf(m_scheme.format).family == quantloupe::FormatFamily::Block
            ? textOf(m_scheme.granularity)
            : QStringLiteral("–"));
    showValue(m_granularity, m_granularities, granularitiesFor(m_scheme), m_scheme.granularity);
    showValue(m_symmetry, m_symmetries, symmetriesFor(m_scheme), m_scheme.symmetry);
    showValue(m_range, m_ranges, rangesFor(m_scheme), m_scheme.range);
    showMore();
}

void SchemeEditor::showMore()
{
    m_menu->setScheme(m_scheme);
    const auto& algorithms = m_scheme.algorithms;
    QString text = tr("+ algorithm");
    QStringList names;
    for (const auto algorithm : algorithms)
        names << wordText(nameOf(algorithm));
    if (names.size() == 1)
        text = u'+' + names.first();
    else if (names.size() > 1)
        text = tr("+%n algorithms", nullptr, static_cast<int>(names.size()));
    m_more->setText(text);
    auto toolTip = tr("Algorithms on top of rounding, how scales are stored, and the scheme as text.");
    if (!names.isEmpty())
        toolTip += u'\n' + tr("Now: %1").arg(names.join(QStringLiteral(", ")));
    m_more->setToolTip(toolTip);
}

void SchemeEditor::change(const Scheme& scheme)
{
    m_scheme = scheme;
    show();
    Q_EMIT edited(m_scheme);
}
